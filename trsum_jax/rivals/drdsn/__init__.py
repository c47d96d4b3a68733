"""DR-DSN (Zhou et al., AAAI 2018)."""
