"""Films: read, described, chosen from, written."""
