"""Tables (CSV) that people write or read: cells, rows, and what they mean. Pure, as all of core."""
