"""What is known before a round: where things go, what it will do and need, and what it lacks."""
