"""The mood model: what one customer message says, how sure that is, and how fast it needs a person."""
