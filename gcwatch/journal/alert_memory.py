"""What was told of troubles, and which alerts wait: a note that hosts share."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from pydantic import TypeAdapter, ValidationError

from gcwatch.core.alerts import Alert, AlertMemory
from gcwatch.journal.hosts.hosts import Notes

_NAME: Final = "alerts"


@dataclass(frozen=True)
class WaitingAlert:
    """An alert on its way; `done` names the addresses that have it, `tries` failed so far."""

    alert: Alert
    done: tuple[str, ...] = ()
    tries: int = 0


@dataclass(frozen=True)
class AlertState:
    """What was told, and what is still to be delivered, oldest first."""

    memory: AlertMemory = field(default_factory=AlertMemory)
    waiting: tuple[WaitingAlert, ...] = ()


_STATE: Final[TypeAdapter[AlertState]] = TypeAdapter(AlertState)


def read_alert_state(notes: Notes) -> AlertState:
    """Return what is remembered of alerts."""
    with suppress(ValidationError):
        return _STATE.validate_json(notes.note(_NAME))
    return AlertState()


def write_alert_state(notes: Notes, found: AlertState) -> None:
    """Replace what is remembered of alerts; raise OSError or JournalUnavailable if that fails."""
    notes.write_note(_NAME, _STATE.dump_json(found))


def undelivered_alerts(notes: Notes) -> int:
    """Return how many alerts wait because delivering them failed."""
    waiting = read_alert_state(notes).waiting
    return len(waiting) if waiting and waiting[0].tries else 0
