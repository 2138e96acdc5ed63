"""The platform's REST API: routes, endpoints, the rules for requests, and JSON answers.

No HTTP connection, no stored byte and no import of images may be handled here.
"""
