"""Training of a LoRA adapter on a catalogue: queries, examples, tuning, evaluation, card."""
