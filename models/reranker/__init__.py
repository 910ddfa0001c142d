"""The reranker: a multimodal LLM that composes intents and scores candidates."""
