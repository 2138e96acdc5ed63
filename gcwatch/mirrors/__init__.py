"""Mirrors: an archive, or a reader study's answers, kept as a complete copy in a local folder.

Nothing about inboxes, cases or the journal may come in: a mirror knows only its receipts on disk.
"""
