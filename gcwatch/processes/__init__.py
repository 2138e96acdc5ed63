"""Other processes of this program: for work that may crash, or that needs a core of its own.

Nothing of gcwatch's work may come in here: no case, no route, no file.
"""
