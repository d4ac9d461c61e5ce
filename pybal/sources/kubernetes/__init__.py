"""Nodes of a Kubernetes cluster as pool members."""
