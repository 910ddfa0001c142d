"""Looking after a gallery: what is kept, whether it is sound, what nobody needs."""
