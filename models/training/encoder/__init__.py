"""Training of encoders: the demo's own, and fine-tuning on a catalogue."""
