"""Composed queries in the words that people type, family by family."""
