"""What a finished round shows: its summary, its table, its HTML report, its samples and the history of the run."""
