"""Storage on a disk or in an object store: datasets, parts, manifests, leases, and files that appear whole."""
