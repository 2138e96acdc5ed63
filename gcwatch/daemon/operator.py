"""Does what operator files in the outboxes ask for: `retry` and `withdraw` without a shell.

The verb is recorded first, with the name of the very file, and the file is removed then. So a file
that outlives a crash, or that can't be removed, is not obeyed twice.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from typing import Final

from gcwatch import log
from gcwatch.config import Route
from gcwatch.core.case import Case
from gcwatch.core.errors import LeaseLost
from gcwatch.core.events import Event, FolderFound, Retried, Withdrawn
from gcwatch.files.atomic import error_text
from gcwatch.inbox.scanner import survey_lease
from gcwatch.journal.hosts.leases import Lease
from gcwatch.journal.journal import Journal
from gcwatch.outbox.operator_files import (
    OperatorFile,
    find_operator_files,
    refuse_operator_file,
    remove_operator_file,
)

_NO_CASE: Final = "no folder of this name was seen in the inbox."


class Operator:
    """Obeys the operator files of all routes that allow them.

    Args:
        journal: Where cases are looked up and verbs are recorded.
        log_event: Logs an event, given the case before, the event, and the case after.
        hold: Yields the lease of what is named while the body lasts, or None if another host has
            it.
    """

    def __init__(
        self,
        journal: Journal,
        log_event: Callable[[Case, Event, Case], None],
        hold: Callable[[str], AbstractContextManager[Lease | None]],
    ) -> None:
        self._journal = journal
        self._log_event, self._hold = log_event, hold
        self._stuck: set[str] = set()

    def obey_files(self, routes: Iterable[Route]) -> None:
        """Do what the operator files of some routes ask for."""
        for route in routes:
            if route.operator_files:
                self._obey_files_of(route)

    def _obey_files_of(self, route: Route) -> None:
        """Obey the files of one route, unless another host looks at them at this moment."""
        with suppress(LeaseLost), self._hold(survey_lease(route.name)) as lease:
            if lease is not None:
                files = find_operator_files(route.outbox, self._journal.current(route.name))
                known = self._journal.known(route.name, [file.folder for file in files])
                for file in files:
                    latest = known.get(file.folder)
                    self._answer(route, file, latest.key if latest else None)

    def _answer(self, route: Route, file: OperatorFile, key: str | None) -> None:
        """Do what one file asks for and remove it, or write into it why that can't be done."""
        refusal = _NO_CASE if key is None else self._obey(file, self._journal.case(key))
        try:
            if refusal:
                refuse_operator_file(file, refusal)
                log.emit("operator_file.refused", route=route.name, verb=file.verb)
            else:
                remove_operator_file(file)
        except OSError as error:
            if file.request not in self._stuck:
                self._stuck.add(file.request)
                log.emit("operator_file.stuck", route=route.name, error=error_text(error))

    def _obey(self, file: OperatorFile, case: Case) -> str:
        """Record what a file asks for, unless that was recorded; return why it can't be, or ""."""
        # A worker may record something meanwhile, which may be a reason to refuse: look again.
        while (refusal := self._obey_once(file, case)) is None:
            case = self._journal.case(case.key)
        return refusal

    def _obey_once(self, file: OperatorFile, case: Case) -> str | None:
        """Do as `_obey` says; return None if the case changed before anything was recorded."""
        if case.request == file.request:
            return ""  # a crash, or the file system, kept the file
        if file.verb == "withdraw":
            if not case.is_open:
                return f"it has ended already ({case.ending})."
            return self._record(case, Withdrawn(file.request))
        if case.ending == "delivered" and case.command is None:
            following = self._journal.open_next_case(case.key, even_if_same=True)
            if following is None:
                return ""  # somebody else asked for the same at this moment
            self._log_event(following, FolderFound(case.route, case.folder), following)
            return self._obey(file, following)
        return self._record(case, Retried(file.request, even_if_same=True))

    def _record(self, case: Case, event: Event) -> str | None:
        """Record and log an event; return None if the case changed before that, else ""."""
        after = self._journal.record_unless_changed(case, event)
        if after is None:
            return None
        if after != case:
            self._log_event(case, event, after)
        return ""
