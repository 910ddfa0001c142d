"""Rows → decoded, embedded and stored images."""
