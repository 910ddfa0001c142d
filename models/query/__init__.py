"""A composed query: words → intent → one vector."""
