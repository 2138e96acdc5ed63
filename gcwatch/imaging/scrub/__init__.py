"""Removes from image files other than DICOM what is neither pixel nor geometry.

One module a format. Each has a function that gets a stream at its start and returns a function
that writes the clean copy. Pixels are streamed and stay as they are, bit by bit. The same file
always gives the same bytes. What a module does not know does not go out: it drops it, or raises
`CantScrub`. Names that are drawn in pixels stay.
"""
