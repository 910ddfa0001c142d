"""The use cases: a search and its explanation. No HTTP, no torch, no database."""
