"""Shares the uploads that an account may have at a time between cases (platform 4.12).

A DICOM image set needs one upload for each file, and they count until they are imported. Two large
sets at the same time could use all uploads, so that neither could be completed.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from gcwatch.core.errors import CannotSend, NotYet
from gcwatch.core.reasons import Reason

LIMIT_UPLOADS: Final = 1900
"""The platform allows 2000; the others are for single uploads beside a large set."""

WAIT_SECONDS: Final = 60.0


class UploadQuota:
    """Uploads shared between cases; `held` returns the number of uploads of each open case."""

    def __init__(self, held: Callable[[], Mapping[str, int]], limit: int | None = None) -> None:
        self._held = held
        self._limit = LIMIT_UPLOADS if limit is None else limit
        self._claims: dict[str, int] = {}
        self._lock = threading.Lock()

    def claim_uploads(self, key: str, count: int) -> None:
        """Given a case, reserve a number of uploads for it until they are made or the case ends.

        Raises:
            NotYet: while other cases use too many.
            CannotSend: when it needs more than an account may have.
        """
        if count > self._limit:
            raise CannotSend(Reason("set_too_large", {"count": count, "limit": self._limit}))
        with self._lock:
            held = self._held()
            self._claims = {k: n for k, n in self._claims.items() if k in held and k != key}
            taken = sum(max(n, self._claims.get(k, 0)) for k, n in held.items() if k != key)
            if taken + count > self._limit:
                facts = {"count": count, "taken": taken, "limit": self._limit}
                raise NotYet(Reason("upload_budget", facts), WAIT_SECONDS)
            self._claims[key] = count

    def release_uploads(self, key: str) -> None:
        """Given a case whose uploads are all made, end its reservation."""
        with self._lock:
            self._claims.pop(key, None)
