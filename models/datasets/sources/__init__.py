"""Files that list images, taken apart: each format → records."""
