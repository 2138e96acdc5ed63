"""The background tasks' view of files: images built from uploads, and checks of their content.

No request and no time may be handled here: `due_tasks` decides when an import runs.
"""
