"""The nodes of a Kubernetes cluster as members of a pool."""
