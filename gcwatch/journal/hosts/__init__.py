"""The hosts that work by a journal: who lives, who works on what, what all have to keep to."""
