"""Looks for files that make a parser of outside bytes do what it must not: `make fuzz`."""
