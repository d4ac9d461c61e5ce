"""pybal.conf as values: text, located sections, typed settings. Pure."""
