"""What wakes the daemon: watchdog's early news, APScheduler's times, and one bell for both.

Neither decides anything. Their threads only handler the bell; a handler while the daemon is busy is
remembered once. What is missed here, the next survey finds.
"""

import logging
import os
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from gcwatch import log

_WATCHED_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
]
"""What can make a folder appear, complete it or take it away; mere writes would only flood."""


_MAX_DELETED_FOLDERS = 1000
"""Folders that may leave an inbox before its watch is made anew; see `_Ring`."""


class _InboxHandler(FileSystemEventHandler):
    """A handler that only rings: it runs under the observer's lock and must not raise.

    `lost` tells that the folder was deleted: the watch is dead, whatever stands there now. `gone`
    counts the folders that were taken out of it: one that was moved elsewhere stays watched there,
    and the system grants only so many watches.
    """

    def __init__(self, notify: Callable[[], None], folder: Path) -> None:
        self._notify = notify
        self._folder = str(folder)
        self.lost = False
        self.gone = 0

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Something happened to an inbox, or below it."""
        if isinstance(event, DirDeletedEvent):
            self.gone += 1
            self.lost = self.lost or event.src_path == self._folder
        self._notify()


class _OverflowHandler(logging.Handler):
    """watchdog tells of a lost queue only in its own log: then everything is looked at."""

    def __init__(self, notify: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._notify = notify

    def emit(self, record: logging.LogRecord) -> None:
        """Watchdog has something to say about its queue."""
        del record
        log.emit("watch.overflowed")
        self._notify()


@dataclass(frozen=True)
class _WatchedInbox:
    """A folder as it was when it was put under watch."""

    identity: tuple[int, int]
    handler: _InboxHandler
    watch: ObservedWatch

    def is_current(self, identity: tuple[int, int] | None) -> bool:
        """Whether it is still watched well; a folder made anew may be given the old one's inode."""
        return (
            self.identity == identity
            and not self.handler.lost
            and self.handler.gone < _MAX_DELETED_FOLDERS
        )


class Watcher:
    """Early news of inboxes. One that is missing, replaced or unwatchable is tried again.

    Where the system grants no watches at all, there is no early news.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._overflow = _OverflowHandler(notify)
        self._observer: BaseObserver | None = None
        self._watches: dict[Path, _WatchedInbox] = {}
        self._failed: set[Path] = set()

    def start(self) -> None:
        """Begin to listen."""
        logging.getLogger("watchdog.observers.inotify_c").addHandler(self._overflow)
        # A folder that appears while watchdog walks the tree is found twice, which does no harm.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        try:
            self._observer = Observer()
            self._observer.start()
        except OSError as error:  # the limit of inotify instances, which all programs share
            self._observer = None
            log.emit("watch.failed", error=error)

    def stop(self) -> None:
        """Stop listening."""
        logging.getLogger("watchdog.observers.inotify_c").removeHandler(self._overflow)
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def is_alive(self) -> bool:
        """Whether news still arrive, where there are any to be had."""
        return self._observer is None or self._observer.is_alive()

    def watch_inbox(self, inbox: Path) -> None:
        """Given an inbox, see to it that the folder which now stands there is watched."""
        if self._observer is None:
            return
        identity = _inode_of(inbox)
        known = self._watches.get(inbox)
        if known and known.is_current(identity):
            return
        if known:
            self._observer.unschedule(known.watch)
            del self._watches[inbox]
        if identity is None:
            return
        handler = _InboxHandler(self._notify, inbox)
        try:
            watch = self._observer.schedule(
                handler, str(inbox), recursive=True, event_filter=_WATCHED_EVENTS
            )
        except OSError as error:
            if inbox not in self._failed:
                log.emit("watch.failed", error=error)
            self._failed.add(inbox)
        else:
            self._watches[inbox] = _WatchedInbox(identity, handler, watch)
            self._failed.discard(inbox)

    def watch_only(self, inboxes: Collection[Path]) -> None:
        """Given the inboxes that there are, watch no other any more."""
        for gone in self._watches.keys() - set(inboxes):
            if self._observer is not None:
                self._observer.unschedule(self._watches.pop(gone).watch)

    @property
    def folder_count(self) -> int:
        """How many inboxes are watched."""
        return len(self._watches)


def _inode_of(folder: Path) -> tuple[int, int] | None:
    """Return which folder stands at a path; a remounted share is another one."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if os.access(folder, os.R_OK | os.X_OK) else None
