"""Directories that conftool writes into etcd, read through version 2 or 3 of its API."""
