"""A soak: two thousand cases, everything that can go wrong by chance, and a count at the end."""
