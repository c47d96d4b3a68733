"""What a workdir shows: tables, summaries, pictures, the log, agreement with people."""
