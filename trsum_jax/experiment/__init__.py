"""From a config to a workdir."""
