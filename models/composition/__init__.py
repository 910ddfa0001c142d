"""Roles → one query embedding, and where roles come from without an LLM."""
