"""Formats of server lists: lines, JSON and YAML. Pure."""
