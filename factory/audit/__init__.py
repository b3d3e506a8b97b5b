"""Are the labels right? How often the better candidate by a metric is the better one by its reference."""
