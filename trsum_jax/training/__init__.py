"""The two stages, the grid of runs, and what they leave behind."""
