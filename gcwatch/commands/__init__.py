"""What each command of gcwatch does, as functions that return what they found or did.

Nothing here prints, knows an exit code or reads the command line.
"""
