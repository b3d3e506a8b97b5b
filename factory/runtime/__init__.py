"""Ray and its limits: local Ray, light tasks, stall watch, counters, and redaction of secrets."""
