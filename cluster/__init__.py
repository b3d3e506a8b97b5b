"""Runs Roundtrip on a cluster: job submission, Kubernetes manifests, the container image."""
