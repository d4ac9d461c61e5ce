"""pybal bgp exabgp."""
