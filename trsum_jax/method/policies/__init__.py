"""REINFORCE and the number of frames that an episode selects: taken out of the noise, or never varied."""
