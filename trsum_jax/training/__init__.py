"""One compiled run and the grid of runs: stages, epochs, scoring; no config, no files of a workdir."""
