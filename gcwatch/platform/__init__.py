"""The platform's API: HTTP, typed answers, uploads and downloads.

Nothing about cases, inboxes or outboxes may come in, and no decision about what is sent.
"""
