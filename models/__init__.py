"""The models, and what every process shares."""
