"""The certificates by which servers are trusted, loaded once and not for each connection."""

import ssl
import threading
from pathlib import Path
from typing import Final

from requests.adapters import DEFAULT_CA_BUNDLE_PATH
from urllib3.util.ssl_ import create_urllib3_context


class UnreadableCertificatesError(Exception):
    """The file of certificates is missing, can't be read, or holds none."""


class Certificates:
    """A file with certificates of authorities; by default the public ones.

    Loading the public ones takes some 20 ms. A file that changes is loaded again.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path: Final = Path(path or DEFAULT_CA_BUNDLE_PATH)
        self._lock = threading.Lock()
        self._loaded: tuple[object, ssl.SSLContext] | None = None

    def context(self) -> ssl.SSLContext:
        """Return the settings of encrypted connections, the same until the file changes.

        Raise UnreadableCertificatesError if it can't be loaded.
        """
        try:
            with self._lock:
                status = self.path.stat()
                version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
                if self._loaded is None or self._loaded[0] != version:
                    context = create_urllib3_context()
                    context.load_verify_locations(self.path)
                    self._loaded = version, context
                return self._loaded[1]
        except OSError as error:  # SSLError is one
            raise UnreadableCertificatesError from error
