"""What a folder's files contain: images, series, JSON and documents, checked and packed to send.

Nothing about inboxes, targets or the platform's API may come in: this room reads local files only.
"""
