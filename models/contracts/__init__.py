"""What two processes must agree on: pure pydantic, no behaviour."""
