"""The outbox: results fetched, checked and published, and notes and operator files beside them.

Nothing about inboxes or targets may come in: this room gets outputs and writes folders.
"""
