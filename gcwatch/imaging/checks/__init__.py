"""Whether one file is whole, and whether it is what its socket takes; may not open a folder."""
