"""Watches the inboxes with inotify (by watchdog) and asks for a scan when something happens there.

It decides nothing and need not see everything: what it misses, the next scan finds.
"""

import os
import threading
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

from gcwatch import log
from gcwatch.files.beneath import SharePath
from gcwatch.inbox.listing import MOST_NESTED_FOLDERS

_WATCHED_EVENTS: Final = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_ONLYDIR
)
"""Events that can add, complete or remove a folder. Single writes would be far too many."""

_MAX_TOUCHED_NAMES: Final = 10_000
"""Names that are remembered for the next scan; what is forgotten is found by the hourly look."""


@dataclass(eq=False)
class _WatchedInbox:
    """The watches of an inbox, and which folder it was (device and inode) when they were made.

    Each folder in it has a watch of its own; those nested too deep for a case have none. `lost` is
    set when the inbox itself is gone, even if a new folder has the same path, and when events were
    lost: then its watches are made anew.
    """

    kernel: InotifyFD
    inbox: SharePath
    identity: tuple[int, int]
    notify: Callable[[], None]
    lost: bool = False
    told: bool = False
    _folders: dict[WatchDescriptor, str] = field(default_factory=dict)
    _touched: set[str] = field(default_factory=set)
    # Held by the reader's thread while it calls, and while a watch and its folder become known.
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def watch_below(self, top: str = "") -> None:
        """Watch a folder of the inbox and all below it; raise OSError if the inbox can't be."""
        pending = [top]
        while pending:
            folder = pending.pop()
            try:
                inside = self._watch_folder(folder)
            except OSError as error:  # removed meanwhile, unreadable, or one watch too many
                if not folder:
                    raise
                self._tell_limit(error)
                continue
            if folder.count("/") < MOST_NESTED_FOLDERS:
                pending += inside

    def _watch_folder(self, folder: str) -> list[str]:
        """Watch one folder; return the folders in it."""
        with self._lock, SharePath(self.inbox.root, folder).open_folder() as descriptor:
            # inotify has no call for a descriptor, and a path could lead elsewhere by now.
            opened = b"/proc/self/fd/%d" % descriptor
            watch = self.kernel.add_callback(opened, _WATCHED_EVENTS, self, self._id)
            self._folders[watch] = folder
            with os.scandir(descriptor) as entries:
                names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
        return [f"{folder}/{name}" if folder else name for name in names]

    @property
    def _id(self) -> CallbackId:
        return CallbackId(id(self))

    def _tell_limit(self, error: OSError) -> None:
        if not self.told and not isinstance(error, FileNotFoundError | NotADirectoryError):
            self.told = True
            log.emit("watch.failed", error=error)

    def stop(self, top: str = "") -> None:
        """Stop watching a folder of the inbox and all below it."""
        with self._lock:
            gone = [
                watch
                for watch, folder in self._folders.items()
                if not top or folder == top or folder.startswith(f"{top}/")
            ]
            for watch in gone:
                del self._folders[watch]
        self.kernel.remove_callbacks([(watch, self._id) for watch in gone])

    def take_touched(self) -> set[str]:
        """Return the names in the inbox at or below which something happened since last time."""
        with self._lock:
            touched, self._touched = self._touched, set()
        return touched

    # --- called by watchdog's thread; what raises here would end it ------------------------------

    def on_event(self, event: InotifyEvent) -> None:
        """Ask for a scan: something happened in the inbox or below it."""
        with self._lock:
            folder = self._folders.get(event.wd)
            if folder is None:
                return
            if not event.name:
                self.lost = self.lost or not folder
            else:
                name = os.fsdecode(event.name)
                self._on_entry(event, f"{folder}/{name}" if folder else name)
        self.notify()

    def _on_entry(self, event: InotifyEvent, name: str) -> None:
        if len(self._touched) < _MAX_TOUCHED_NAMES:
            self._touched.add(name.partition("/")[0])
        if not event.is_directory:
            return
        if event.is_moved_from:
            # Elsewhere it would stay watched, and the system allows a limited number of watches.
            self.stop(name)
        elif event.is_create or event.is_moved_to:
            self.watch_below(name)

    def on_watch_deleted(self, watch: WatchDescriptor) -> None:
        """Note that a folder is no longer watched: it was removed, or its share unmounted."""
        with self._lock:
            self.lost = self.lost or self._folders.pop(watch, None) == ""

    def on_queue_overflow(self) -> None:
        """Log that events were lost, and ask for a scan."""
        self.lost = True
        log.emit("watch.overflowed")
        self.notify()


class Watcher:
    """Asks for a scan when something happens in an inbox.

    An inbox that is missing, replaced or can't be watched is tried again at the next scan. If the
    system allows no watches at all, only the scheduled scans find new folders.

    Args:
        notify: Asks for a scan; called in watchdog's thread.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._kernel: InotifyFD | None = None
        self._watches: dict[Path, _WatchedInbox] = {}
        self._failed: set[Path] = set()

    def start(self) -> None:
        """Start watchdog's thread."""
        # watchdog warns if a folder is watched once more that appeared meanwhile; that is harmless.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        try:
            self._kernel = InotifyFD()
            self._kernel.start()
        except OSError as error:  # the limit of inotify instances, shared by all programs
            self._kernel = None
            log.emit("watch.failed", error=error)

    def stop(self) -> None:
        """Stop watchdog's thread."""
        if self._kernel is not None:
            self._kernel.stop()
            self._kernel.join()

    def is_alive(self) -> bool:
        """Whether watchdog's thread still runs; True if the system allows no watches."""
        return self._kernel is None or self._kernel.is_alive()

    def watch_inbox(self, inbox: Path) -> None:
        """Given an inbox, watch the folder that is now at its path, if it is not yet watched."""
        if self._kernel is None:
            return
        identity = _inode_of(SharePath(inbox))
        known = self._watches.get(inbox)
        if known and known.identity == identity and not known.lost:
            return
        if known:
            self._watches.pop(inbox).stop()
        if identity is None:
            return
        watched = _WatchedInbox(self._kernel, SharePath(inbox), identity, self._notify)
        try:
            watched.watch_below()
        except OSError as error:
            watched.stop()
            if inbox not in self._failed:
                log.emit("watch.failed", error=error)
            self._failed.add(inbox)
        else:
            self._watches[inbox] = watched
            self._failed.discard(inbox)

    def take_touched(self, inbox: Path) -> frozenset[str]:
        """Given an inbox, return the names at or below which something happened since last time."""
        known = self._watches.get(inbox)
        return frozenset(known.take_touched() if known else ())

    def watch_only(self, inboxes: Collection[Path]) -> None:
        """Given all inboxes of the config, stop watching every other one."""
        for gone in self._watches.keys() - set(inboxes):
            self._watches.pop(gone).stop()

    @property
    def folder_count(self) -> int:
        """How many inboxes are watched."""
        return len(self._watches)


def _inode_of(inbox: SharePath) -> tuple[int, int] | None:
    """Return device and inode of an inbox, None if it can't be read; a remount changes them."""
    try:
        with inbox.open_folder() as descriptor:
            status = os.fstat(descriptor)
            os.stat(".", dir_fd=descriptor)  # raises unless this process may look into it
    except OSError:
        return None
    return status.st_dev, status.st_ino
