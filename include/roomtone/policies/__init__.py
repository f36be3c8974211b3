"""The policies: YAML that people own, checked, published as append-only versions, and said in plain English."""
