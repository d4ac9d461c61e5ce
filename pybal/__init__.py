"""PyBal: health checks, pooling and announcement for Linux Virtual Server."""

__version__ = "2.0.0"
"""The only declaration of the version: during an upgrade, the metadata of a package may be absent."""
