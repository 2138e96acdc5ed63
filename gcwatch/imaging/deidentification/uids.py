"""What UIDs become: keyed hashes, so that a case that is prepared again has the same ones."""

import hmac
import secrets
from typing import Any, Final
from uuid import UUID

_UUID_BYTES: Final = 16
_KEY_BYTES: Final = 32


class NewUids(dict[Any, str]):
    """The new UID of each original one, as the library asks for them (`uid_map`).

    Args:
        key: The installation's secret key. Without one, UIDs are random: by a hash without a key,
            whoever has the original could recognise it.
        case: The case and its round; in another one, the same UID becomes another one.

    A new UID is a UUID as a number (DICOM PS3.5, B.2), at most 44 characters.
    """

    def __init__(self, key: bytes, case: str) -> None:
        super().__init__()
        self._key = key or secrets.token_bytes(_KEY_BYTES)
        self._case = case.encode()

    def __missing__(self, old: object) -> str:
        value = old if isinstance(old, bytes) else str(old or "").encode()
        message = b"UID\0%b\0%b" % (self._case, value.strip(b" \0"))
        digest = hmac.digest(self._key, message, "sha256")[:_UUID_BYTES]
        new = self[old] = f"2.25.{UUID(bytes=digest, version=4).int}"
        return new
