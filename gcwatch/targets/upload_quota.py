"""How many of the uploads that an account may hold are taken (platform 4.12).

A DICOM image set needs one upload for each file, and they stand until they are imported; two large
sets begun side by side could fill the account so that neither can ever be finished.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Final

from gcwatch.core.errors import CannotSend, NotYet
from gcwatch.core.reasons import Reason

LIMIT_UPLOADS: Final = 1900
"""Of the 2000 that the platform allows: single uploads go on beside a large set."""

WAIT_SECONDS: Final = 60.0


class UploadQuota:
    """Uploads shared between cases; `held` tells how many each case that is under way holds."""

    def __init__(self, held: Callable[[], Mapping[str, int]], limit: int | None = None) -> None:
        self._held = held
        self._limit = LIMIT_UPLOADS if limit is None else limit
        self._claims: dict[str, int] = {}
        self._lock = threading.Lock()

    def claim_uploads(self, key: str, count: int) -> None:
        """Given a case, keep so many uploads for it until they are made, or it is given up.

        Raises:
            NotYet: while other cases hold too many.
            CannotSend: when it needs more than an account may hold.
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
        """Given a case whose uploads are all made, count those that it holds, and no more."""
        with self._lock:
            self._claims.pop(key, None)
