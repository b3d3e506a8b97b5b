"""What a round gives away: its pairs and its policy, as others read them."""
