"""Scripts that make data of the package; nothing of it is installed."""
