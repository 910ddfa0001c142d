"""What the worker asks of the model, and what it remembers between questions."""
