"""The reranker: a multimodal LLM that composes intents and says how well candidates fit."""
