"""The hosts that share a journal, as one gcwatch: what they do together, and what each one tells.

A journal in a state directory has one host at most.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from gcwatch.config import Settings
from gcwatch.core.reasons import Reason
from gcwatch.journal.hosts.hosts import Host
from gcwatch.journal.hosts.progress import DaemonProgress
from gcwatch.wording.host_view import HostView
from gcwatch.wording.why_waiting import DaemonSnapshot

_NO_CASE: Final = ":"
"""In the name of a lease that is none of a case."""


@dataclass(frozen=True)
class HostGroup:
    """All hosts of one journal.

    Args:
        settings: What the config says.
        hosts: All that have begun to work and have not ended.
        owners: The identities of hosts that hold leases, by the leases' names.
    """

    settings: Settings
    hosts: Sequence[Host]
    owners: Mapping[str, str]

    @cached_property
    def living(self) -> Sequence[Host]:
        """The hosts that work."""
        return [host for host in self.hosts if host.is_alive]

    @property
    def is_shared(self) -> bool:
        """Whether there may be several hosts."""
        return self.settings.journal is not None

    @property
    def is_running(self) -> bool:
        """Whether any host works."""
        return bool(self.living)

    @property
    def process(self) -> int | None:
        """The id of the process that works, on the first host that does; None without one."""
        return self.living[0].progress.daemon if self.living else None

    @property
    def pause(self) -> Reason | None:
        """Why nothing is done on any host; None if one of them works."""
        pauses = [host.pause for host in self.living]
        return pauses[0] if pauses and all(pauses) else None

    @cached_property
    def working(self) -> Mapping[str, str]:
        """The names of the hosts that work on cases at this moment, by the cases' keys."""
        if not self.is_shared:
            return {key: host.name for host in self.living for key in host.progress.working}
        # What a host has told may be some seconds old; a lease is not.
        names = {host.identity: host.name for host in self.living}
        return {
            key: names[identity]
            for key, identity in self.owners.items()
            if _NO_CASE not in key and identity in names
        }

    @cached_property
    def away(self) -> frozenset[str]:
        """The routes whose inbox no host can reach that works on them."""
        told = {route for host in self.living for route in host.progress.away}
        return frozenset(route for route in told if not self._seeing(route))

    @property
    def progress(self) -> DaemonProgress:
        """What all hosts do at this moment."""
        told = [host.progress for host in self.living]
        transfers = {key: each for one in told for key, each in one.transfers.items()}
        return DaemonProgress(
            daemon=self.process or 0,
            at=max((one.at for one in told), default=0.0),
            working=frozenset(self.working),
            transfers={key: each for key, each in transfers.items() if key in self.working},
            mirrors={name: each for one in told for name, each in one.mirrors.items()},
            away=self.away,
            unused=dict(self._unused()),
        )

    def snapshot(self) -> DaemonSnapshot:
        """Return what the waiting of cases depends on."""
        return DaemonSnapshot(
            is_running=self.is_running,
            pause=self.pause,
            progress=self.progress,
            hosts=self.views() or (),
        )

    def views(self) -> tuple[HostView, ...] | None:
        """Return each host in words; None if there can be only one."""
        return tuple(map(self._view, self.hosts)) if self.is_shared else None

    def _view(self, host: Host) -> HostView:
        return HostView(
            host=host.name,
            alive=host.is_alive,
            silent=round(host.silent, 1),
            version=host.version,
            paused=host.pause.code if host.pause else "",
            working=sum(name == host.name for name in self.working.values()),
            away=tuple(sorted(host.progress.away - self.away)) if host.is_alive else (),
        )

    def _seeing(self, name: str) -> Sequence[Host]:
        """Return the hosts that work on a route and can reach its inbox."""
        only = {host for each in self.settings.routes if each.name == name for host in each.hosts}
        return [
            host
            for host in self.living
            if name not in host.progress.away and (not only or host.name in only)
        ]

    def _unused(self) -> Iterable[tuple[str, tuple[Reason, ...]]]:
        """Yield what is in each inbox but becomes no case, as the host knows that told last."""
        names = {name for host in self.living for name in host.progress.unused}
        for name in names:
            last = min(self._seeing(name) or self.living, key=lambda host: host.silent)
            if reasons := last.progress.unused.get(name):
                yield name, reasons
