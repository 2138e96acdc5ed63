"""What gcwatch knows of a case and decides from it: facts, events, steps, due times, reasons.

Pure: no I/O, no threads and no clock may come in here; times are arguments.
"""
