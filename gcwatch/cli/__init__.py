"""The command line of gcwatch: commands, options, questions, signals and exit codes.

What a command does belongs in commands/, what it shows in views/.
"""

from gcwatch.cli.app import main

__all__ = ["main"]
