"""Files that are fetched from a network: which they are, where they lie, how they come whole."""
