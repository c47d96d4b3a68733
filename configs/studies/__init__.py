"""Variants of an experiment side by side, in one table."""
