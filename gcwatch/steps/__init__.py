"""What each step of the checklist does: settle, upload, submit, poll, fetch, deliver, report.

Threads, the loop and the decision when a step begins stay in the daemon.
"""
