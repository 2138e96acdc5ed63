"""The sandbox: a local replacement for grand-challenge.org, for rehearsals and for tests.

Nothing else of gcwatch may be imported here: the sandbox checks gcwatch only if it has its own
knowledge of the platform (docs/platform.md).
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
