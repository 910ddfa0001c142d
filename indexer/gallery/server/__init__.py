"""The gallery on Qdrant: a server, or the client's local mode."""
