"""The reranker model as the worker runs it: scoring, caches, images, the device's thread."""
