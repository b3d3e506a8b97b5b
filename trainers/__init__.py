"""The model side of Roundtrip: what happens to weights."""
