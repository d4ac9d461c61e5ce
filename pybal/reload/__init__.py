"""The configuration file, differences between two, and the plan of a reload. Pure except file.py."""
