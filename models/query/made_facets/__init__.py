"""Facets of galleries without attributes: words that an encoder can see in their images."""
