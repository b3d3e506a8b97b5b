"""Blind judgements by people: which of two translations is better."""
