"""Experiments: each file changes some fields of the default. Installed as `trsum_jax.configs`."""
