"""Announcing the VIPs to routers, through ExaBGP: what is announced and why, and how a router comes to hold just that."""
