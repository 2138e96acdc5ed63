"""The reasons' sentences, one module a subject; only words may come in."""
