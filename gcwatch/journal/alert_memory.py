"""What was told of troubles, and which alerts wait: a file in the state directory."""

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from gcwatch.core.alerts import Alert, AlertMemory
from gcwatch.files.atomic import write_atomically
from gcwatch.files.safe_open import read_state_file

_FILE: Final = "alerts.json"


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


def read_alert_state(state: Path) -> AlertState:
    """Given a state directory, return what is remembered of alerts there."""
    with suppress(OSError, ValidationError):
        return _STATE.validate_json(read_state_file(state / _FILE))
    return AlertState()


def write_alert_state(state: Path, found: AlertState) -> None:
    """Replace what is remembered of alerts; raise OSError if that fails."""
    write_atomically(state / _FILE, _STATE.dump_json(found))


def undelivered_alerts(state: Path) -> int:
    """Given a state directory, return how many alerts wait because delivering them failed."""
    waiting = read_alert_state(state).waiting
    return len(waiting) if waiting and waiting[0].tries else 0
