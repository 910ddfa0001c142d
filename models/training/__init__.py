"""Training of the shipped models, and of yours."""
