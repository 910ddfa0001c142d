"""The demo reranker's training from nothing: vision, language, base model."""
