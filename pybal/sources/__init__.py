"""Pool sources: files, URLs, DNS and clusters that list the members of a service."""
