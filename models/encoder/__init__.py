"""Images and texts → unit vectors, whatever the architecture."""
