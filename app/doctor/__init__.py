"""`python -m app doctor`: what would run where, and what is missing. It changes nothing."""
