"""Measures a running API: the field's benchmarks, and one made of a catalogue's own attributes."""
