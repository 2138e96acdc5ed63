"""Where cases go: one module a kind of target."""
