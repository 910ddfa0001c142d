"""What catalogues are made of: manifests, images, attributes and their schema."""
