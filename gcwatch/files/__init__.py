"""Safe work with files: atomic writes, names, patterns, snapshots, file systems.

Nothing about inboxes, outboxes, images or the platform may come in: this room knows only files.
"""
