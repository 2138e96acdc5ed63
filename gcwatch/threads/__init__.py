"""Threads: one that runs at an interval, and heartbeats that show who makes progress.

Nothing of gcwatch's work may come in here: no case, no route, no file.
"""
