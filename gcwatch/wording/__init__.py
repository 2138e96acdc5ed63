"""What gcwatch says about a case to people: its state, its history, status file, failure note.

No I/O may come in here: functions get a case and its surroundings, and return text or views.
"""
