"""What the pages of studies show beside the tables: run by hand, on finished workdirs."""
