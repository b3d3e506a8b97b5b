"""Public corpora in their original archives, written as UTTERANCE rows that recipes name."""
