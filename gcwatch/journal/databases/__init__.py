"""Where a journal lies: SQLite in the state directory, or PostgreSQL that several hosts share.

The journal's statements are the same for both; only what differs is here.
"""
