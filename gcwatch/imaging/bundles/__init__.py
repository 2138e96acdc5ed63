"""What goes out of a folder's files, one bundle an upload, and where it is kept until it is sent.

Which images there are is decided before; nothing about the platform's API may come in.
"""
