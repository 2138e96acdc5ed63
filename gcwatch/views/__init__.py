"""What commands show on a terminal: tables, lines and progress bars, one module a command.

No module here reads a file, asks the platform or decides anything.
"""
