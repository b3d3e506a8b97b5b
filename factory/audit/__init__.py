"""The audit of labels: how often the candidate with the better back-translation is also better by a reference."""
