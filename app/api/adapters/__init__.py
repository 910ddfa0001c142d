"""The use cases' ports on real things: encoder, gallery, workers, other people's rerankers."""
