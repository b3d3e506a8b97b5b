"""The round trip as a reward for other programs: online RL, and requests over HTTP."""
