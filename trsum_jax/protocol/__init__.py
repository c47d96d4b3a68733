"""Scores in, table out: numpy and scipy, no jax."""
