"""Compressed pixels, in DICOM and in other formats: where they end, and what in them is no pixel.

Nothing here decodes a picture. No format of files comes in, only what is compressed.
"""
