"""What a configuration file says, how two differ, and the plan of a reload. Pure but for reading the file."""
