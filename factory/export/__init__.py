"""Writes the pairs or the policy of a round for other tools: files, cards, and pushing them to a folder or the Hub."""
