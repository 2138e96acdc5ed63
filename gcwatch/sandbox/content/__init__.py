"""What the sandbox offers before anybody uses it: sockets, their schemas, algorithms, archives.

Nothing that changes while a sandbox runs may be kept here.
"""
