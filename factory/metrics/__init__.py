"""Scores of a translation or of a way back; each states its direction, scale and signature."""
