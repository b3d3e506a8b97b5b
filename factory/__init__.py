"""The data side of Roundtrip: what happens to speech."""
