"""Blind A/B judgements by people: which of two translations is better."""
