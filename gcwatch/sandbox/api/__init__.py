"""The platform's REST API: routes, endpoints, the rules for requests, and JSON answers.

Work that the platform does in the background (imports, jobs) and the transfer of bytes do not
belong here.
"""
