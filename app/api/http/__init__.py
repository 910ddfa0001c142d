"""The edge: HTTP in, domain out."""
