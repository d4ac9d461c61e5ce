"""Checks of the host: the settings of kernel and service manager that PyBal requires."""
