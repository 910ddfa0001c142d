"""The gallery: where images, embeddings and copies are kept, and how they are found."""
