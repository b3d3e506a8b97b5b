"""The contracts: columns of every dataset, the written form of an utterance for the policy, fingerprints, errors."""
