"""The gallery on a Qdrant server."""
