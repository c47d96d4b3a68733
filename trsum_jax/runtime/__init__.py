"""Devices, processes, stops and checkpoints: what any long training needs, whatever it trains."""
