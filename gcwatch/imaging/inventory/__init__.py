"""Lists what files hold, place by place, and compares an original with what goes out of it.

It knows no procedure and no list of what is kept: both files are read, and what differs is told. A
place is named by its format, never by what the file says of it, as that may be a name.
"""
