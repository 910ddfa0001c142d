"""The demo catalogue: rendered scenes with captions, attributes and composed queries."""
