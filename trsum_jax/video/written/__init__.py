"""Further files of a summary: timelines in XML."""
