"""The contracts: the columns of every dataset and how an utterance is written for the policy."""
