"""Further files of a summary: timelines in XML, subtitles, chapters, the parts one by one, a preview."""
