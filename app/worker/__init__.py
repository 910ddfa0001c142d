"""The worker: one process per device that composes intents and scores candidates."""
