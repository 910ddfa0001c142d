"""Figures: retrieval measures, their intervals, how they are drawn."""
