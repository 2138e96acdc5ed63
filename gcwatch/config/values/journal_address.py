"""The address of a journal in a database, as the config file gives it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class JournalAddress:
    """Where a journal on PostgreSQL is; `place` names it for people, without a secret."""

    place: str
