"""The daemon: it scans inboxes, runs due cases step by step, and keeps mirrors and status files.

What a target, an inbox or an outbox does stays in their rooms; words for people stay in wording.
"""
