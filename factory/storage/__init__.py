"""How bytes lie on a disk and in an object store, whole or not at all: datasets, parts, manifests, leases, files."""
