"""Comparisons of this simulator with the real LIBERO, from the same states."""
