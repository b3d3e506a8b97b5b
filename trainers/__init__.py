"""Trainings: what makes the weights of policies, codebooks and vocoders."""
