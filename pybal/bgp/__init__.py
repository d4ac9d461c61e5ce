"""BGP announcements of VIPs through ExaBGP: the decision for each VIP, and the routes of each peer."""
