"""Watches the inboxes with watchdog (inotify) and asks for a scan when something happens there.

It decides nothing and need not see everything: what it misses, the next scan finds.
"""

import logging
import os
import threading
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
"""Events that can add, complete or remove a folder. Single writes would be far too many."""


_MAX_DELETED_FOLDERS = 1000
"""Folders that may be removed from an inbox before its watch is renewed; see `_InboxHandler`."""

_MAX_TOUCHED_NAMES = 10_000
"""Names that are remembered for the next scan; what is forgotten is found by the hourly look."""


class _InboxHandler(FileSystemEventHandler):
    """Asks for a scan. It runs under the observer's lock, so it is fast and never raises.

    `lost` is set when the inbox itself was deleted: its watch no longer works, even if a new
    folder has the same path. `gone` counts the folders removed from it: a folder that was moved
    elsewhere stays watched there, and the system allows a limited number of watches.
    """

    def __init__(self, notify: Callable[[], None], folder: Path) -> None:
        self._notify = notify
        self._folder = str(folder)
        self.lost = False
        self.gone = 0
        self._touched: set[str] = set()
        self._touching = threading.Lock()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Ask for a scan: something happened in the inbox or below it."""
        if isinstance(event, DirDeletedEvent):
            self.gone += 1
            self.lost = self.lost or event.src_path == self._folder
        for path in (event.src_path, event.dest_path):
            below = os.fsdecode(path).removeprefix(self._folder + "/")
            self._note_touched(below.partition("/")[0])
        self._notify()

    def _note_touched(self, name: str) -> None:
        with self._touching:
            if len(self._touched) < _MAX_TOUCHED_NAMES:
                self._touched.add(name)

    def take_touched(self) -> set[str]:
        """Return the names in the inbox at or below which something happened since last time."""
        with self._touching:  # the observer's thread may be adding a name
            touched, self._touched = self._touched, set()
        return touched


class _OverflowHandler(logging.Handler):
    """Asks for a scan if events were lost; watchdog reports that only in its own log."""

    def __init__(self, notify: Callable[[], None]) -> None:
        super().__init__(logging.WARNING)
        self._notify = notify

    def emit(self, record: logging.LogRecord) -> None:
        """Log that events were lost, and ask for a scan."""
        del record
        log.emit("watch.overflowed")
        self._notify()


@dataclass(frozen=True)
class _WatchedInbox:
    """An inbox whose watch was started, and which folder it was then (device and inode)."""

    identity: tuple[int, int]
    handler: _InboxHandler
    watch: ObservedWatch

    def is_current(self, identity: tuple[int, int] | None) -> bool:
        """Whether the watch still works for the folder that now has this identity."""
        # The identity is not enough: a new folder may get the inode of the deleted one.
        return (
            self.identity == identity
            and not self.handler.lost
            and self.handler.gone < _MAX_DELETED_FOLDERS
        )


class Watcher:
    """Asks for a scan when something happens in an inbox.

    An inbox that is missing, replaced or can't be watched is tried again at the next scan. If the
    system allows no watches at all, only the scheduled scans find new folders.

    Args:
        notify: Asks for a scan; called in watchdog's thread.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._overflow = _OverflowHandler(notify)
        self._observer: BaseObserver | None = None
        self._watches: dict[Path, _WatchedInbox] = {}
        self._failed: set[Path] = set()

    def start(self) -> None:
        """Start watchdog's thread."""
        logging.getLogger("watchdog.observers.inotify_c").addHandler(self._overflow)
        # watchdog warns if a folder appears while it walks the tree; finding it twice is harmless.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        try:
            self._observer = Observer()
            self._observer.start()
        except OSError as error:  # the limit of inotify instances, shared by all programs
            self._observer = None
            log.emit("watch.failed", error=error)

    def stop(self) -> None:
        """Stop watchdog's thread."""
        logging.getLogger("watchdog.observers.inotify_c").removeHandler(self._overflow)
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()

    def is_alive(self) -> bool:
        """Whether watchdog's thread still runs; True if the system allows no watches."""
        return self._observer is None or self._observer.is_alive()

    def watch_inbox(self, inbox: Path) -> None:
        """Given an inbox, watch the folder that is now at its path, if it is not yet watched."""
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
        except (OSError, RecursionError) as error:  # watchdog walks the folders recursively
            if inbox not in self._failed:
                log.emit("watch.failed", error=error)
            self._failed.add(inbox)
        else:
            self._watches[inbox] = _WatchedInbox(identity, handler, watch)
            self._failed.discard(inbox)

    def take_touched(self, inbox: Path) -> frozenset[str]:
        """Given an inbox, return the names at or below which something happened since last time."""
        known = self._watches.get(inbox)
        return frozenset(known.handler.take_touched() if known else ())

    def watch_only(self, inboxes: Collection[Path]) -> None:
        """Given all inboxes of the config, stop watching every other one."""
        for gone in self._watches.keys() - set(inboxes):
            if self._observer is not None:
                self._observer.unschedule(self._watches.pop(gone).watch)

    @property
    def folder_count(self) -> int:
        """How many inboxes are watched."""
        return len(self._watches)


def _inode_of(folder: Path) -> tuple[int, int] | None:
    """Return device and inode of a folder, None if it can't be read; a remount changes them."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if os.access(folder, os.R_OK | os.X_OK) else None
