"""Where Roundtrip runs: a machine, or a Kubernetes cluster."""
