"""Shares the uploads that an account may have at a time between cases (platform 4.12).

A DICOM image set needs one upload for each file, and they count until they are imported. Two large
sets at the same time could use all uploads, so that neither could be completed.
"""

from collections.abc import Callable, Mapping
from typing import Final

from gcwatch.core.errors import CannotSend, NotYet
from gcwatch.core.reasons import Reason
from gcwatch.journal.hosts.limits import AccountLimits, AllLimits

LIMIT_UPLOADS: Final = 1900
"""The platform allows 2000; the others are for single uploads beside a large set."""

WAIT_SECONDS: Final = 60.0

_CLAIM: Final = "uploads:"
_CLAIM_SECONDS: Final = 86_400.0
"""As long as the platform keeps an upload (platform 4.14)."""


class UploadQuota:
    """Uploads shared between cases, on whichever host they are made.

    Args:
        held: Returns the number of uploads of each open case that may have some.
        limits: Where it is kept how many uploads a case will have.
        limit: How many there may be in all.
    """

    def __init__(
        self,
        held: Callable[[], Mapping[str, int]],
        limits: AccountLimits,
        limit: int | None = None,
    ) -> None:
        self._held, self._limits = held, limits
        self._limit = LIMIT_UPLOADS if limit is None else limit

    def claim_uploads(self, key: str, count: int) -> None:
        """Given a case, reserve a number of uploads for it until they are made or the case ends.

        Raises:
            NotYet: while other cases use too many.
            CannotSend: when it needs more than an account may have.
        """
        if count > self._limit:
            raise CannotSend(Reason("set_too_large", {"count": count, "limit": self._limit}))

        def decide(limits: AllLimits) -> int:
            claims = {name: limit.number for name, limit in limits.items() if limit.left > 0}
            others = {each: n for each, n in self._held().items() if each != key}
            taken = sum(max(n, claims.get(_CLAIM + each, 0)) for each, n in others.items())
            if taken + count > self._limit:
                facts = {"count": count, "taken": taken, "limit": self._limit}
                raise NotYet(Reason("upload_budget", facts), WAIT_SECONDS)
            return count

        self._limits.decide(_CLAIM + key, _CLAIM_SECONDS, decide)

    def release_uploads(self, key: str) -> None:
        """Given a case whose uploads are all made, end its reservation."""
        self._limits.remove(_CLAIM + key)
