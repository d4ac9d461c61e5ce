"""The conversion of keepalived.conf to pybal.conf."""
