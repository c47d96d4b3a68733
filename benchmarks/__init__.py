"""Measurements: how far ahead of PyTorch, how far from the machine's limit, how cost grows."""
