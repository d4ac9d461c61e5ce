"""PyBal: health checks, pooling and announcement for Linux Virtual Server."""
