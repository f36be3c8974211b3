"""Three stores, three duties: raw (what came in), operational (what we did), warehouse (what follows from both)."""
