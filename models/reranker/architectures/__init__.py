"""What differs between the architectures that rerank."""
