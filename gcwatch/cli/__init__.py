"""The command line: options, exit codes and the program's end.

Everything that a command does is in commands/, everything that it shows in views/.
"""

from gcwatch.cli.app import main

__all__ = ["main"]
