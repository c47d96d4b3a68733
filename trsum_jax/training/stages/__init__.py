"""Stages around those of the core: what is kept of stage 1, and what single variants change in stage 2."""
