"""Trains a judge from scratch in the stages of a real one: vision tower, base, adapter."""
