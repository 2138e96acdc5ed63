"""The values of keys: how each kind is written in the config file, and what is wrong with it."""
