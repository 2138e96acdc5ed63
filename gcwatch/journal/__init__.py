"""The journal: cases and their events on disk, and what the state directory tells other processes.

It decides nothing. Calls to the platform and files of inboxes and outboxes may not come in.
"""
