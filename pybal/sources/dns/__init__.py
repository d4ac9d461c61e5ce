"""SRV records as pool members."""
