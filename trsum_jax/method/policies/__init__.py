"""The number of frames in an episode, taken out of the noise or never varied, and a sequential policy."""
