"""What `gcwatch send` is told: where to, which files, and how; for the command and for Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gcwatch.commands.send.records import Wanted
from gcwatch.config import Every, Source
from gcwatch.core.errors import Misused
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.progress import TransferProgress, no_progress
from gcwatch.core.timing import Pace

Inputs = Mapping[str, str | Mapping[str, Any] | Source]
"""What each socket gets: a glob, `{"value": 0.5}`, `{"json": "file"}`, as in a route."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """The platform, the token, and the state directory, which remembers what was sent.

    What is None comes from the config file, if there is one (see `gcwatch.open`), else from the
    usual places: the systemd credential gc-token, $GRAND_CHALLENGE_AUTHORIZATION, the state
    directory of the user. A config's token goes to that config's url only.
    """

    url: str | None = None
    token: str | None = field(default=None, repr=False)
    token_file: str | Path | None = None
    ca_bundle: str | Path | None = None
    config: str | Path | None = None
    state: str | Path | None = None


@dataclass(frozen=True, kw_only=True)
class SendOptions:
    """Where cases go, and how.

    Attributes:
        algorithm, reader_study, archive: The slug of the target; exactly one of them.
        output: The folder for results and receipts; needed for an algorithm.
        each: Each folder in the given folders is a case, not the given folders.
        again: Send what was delivered before again, as new cases.
        progress: Called with the progress of transfers.
        pace: How often things are done.

    All others are keys of a route (docs/configuration.md), with the same meaning; None is the
    route's own default.
    """

    algorithm: str | None = None
    reader_study: str | None = None
    archive: str | None = None
    output: str | Path | None = None
    inputs: Inputs | None = None
    title: str | None = None
    order: str | int | None = None
    names: Literal["opaque", "keep"] = "opaque"
    deidentify: bool = True
    integrity: Literal["refuse", "warn"] = "refuse"
    leftovers: Literal["warn", "fail"] = "warn"
    reuse: bool = False
    ignore: Sequence[str] = ()
    poll: str | None = None
    each: bool = False
    again: bool = False
    progress: TransferProgress = no_progress
    pace: Pace | None = None

    @property
    def folder(self) -> Path | None:
        """The output folder as an absolute path."""
        return None if self.output is None else Path(self.output).expanduser().absolute()

    @property
    def wanted(self) -> Wanted:
        """What a record says about a case beyond its identity."""
        return Wanted(str(self.folder or ""), self.names, self.title or "")

    def route_keys(self) -> dict[str, Any]:
        """Return the keys of a route; raise Misused unless there is exactly one target."""
        given = [key for key in KIND_NAMES if getattr(self, key) is not None]
        if len(given) != 1:
            message = "One target is needed: an algorithm, a reader study or an archive."
            raise Misused(message, f"Given: {' and '.join(given)}." if given else "None is given.")
        if given == ["algorithm"] and self.output is None:
            raise Misused("The results of an algorithm need an output folder.", "Name one.")
        if given != ["algorithm"] and not self.inputs:
            message = (
                "A reader study or archive needs inputs: which sockets to fill, and with what."
            )
            raise Misused(message, "For example the socket ct-image with the files **/*.dcm.")
        if not isinstance(self.inputs or {}, Mapping):
            raise Misused("inputs is not a dictionary.", 'Write {"ct-image": "*.mha"}.')
        keys = {key: getattr(self, key) for key in (*KIND_NAMES, *_ROUTE_KEYS)}
        return {
            **{key: value for key, value in keys.items() if value is not None},
            **({"inputs": dict(self.inputs)} if self.inputs else {}),
            "poll": self.poll or (self.pace.poll if self.pace else _POLL),
        }


_POLL = Every(5.0)
"""Somebody waits for the result: at first, jobs are polled more often than by a daemon."""
_ROUTE_KEYS = (
    *("title", "order", "names", "deidentify", "integrity", "leftovers", "reuse", "ignore"),
)
