"""`gcwatch send`: send files and folders now, and remember what was sent.

No config file is needed. What is also the daemon's work is not written here a second time.
"""
