"""One module for each group of commands: its options and exit codes.

What a command does belongs in commands/, what it shows in views/.
"""
