"""Data made by a generator, with a known answer."""
