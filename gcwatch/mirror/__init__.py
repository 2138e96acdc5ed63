"""Mirrors: an archive of the platform kept as a complete copy in a local folder.

Nothing about inboxes, cases or the journal may come in: a mirror knows only its receipts on disk.
"""
