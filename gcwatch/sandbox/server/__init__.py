"""HTTP for both origins: connections, replies, deliberate faults, and the record of calls.

No endpoint and no rule of the platform may be known here.
"""
