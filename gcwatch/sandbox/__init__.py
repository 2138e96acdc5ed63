"""A local stand-in for grand-challenge.org, to rehearse and to test against.

It imports nothing from the rest of gcwatch: what it knows of the platform it knows by itself.
"""

from gcwatch.sandbox.content.catalogue import (
    STANDARD,
    Algorithm,
    Archive,
    Catalogue,
    Interface,
    ReaderStudy,
    Socket,
)
from gcwatch.sandbox.sandbox import Sandbox
from gcwatch.sandbox.serve import serve
from gcwatch.sandbox.settings import Settings

__all__ = [
    "STANDARD",
    "Algorithm",
    "Archive",
    "Catalogue",
    "Interface",
    "ReaderStudy",
    "Sandbox",
    "Settings",
    "Socket",
    "serve",
]
