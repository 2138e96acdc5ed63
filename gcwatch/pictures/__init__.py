"""Small pictures of what was sent and what came back, drawn in a process of their own.

Nothing about routes, cases or pages may come in: this room gets files and returns pictures.
"""
