"""Changes to the config file under a working daemon: by SIGHUP, and sometimes by nonsense."""

from dataclasses import dataclass, field

from .patients import GUEST, LINES

NONSENSE = ("[[route", 'colour = "blue"', 'state = "elsewhere"', 'platform = "here"')


@dataclass
class Changes:
    """Routes added, changed, renamed and removed, and put back again.

    `is_spoiled` while the file on disk is one that no daemon can start with.
    """

    folders: object
    daemon: object
    chance: object
    reloads: int = 0
    is_spoiled: bool = False
    guest_is_known: bool = False
    _put_back: list = field(default_factory=list)

    def one(self):
        """Put back what was changed before, or change something."""
        if self.is_spoiled or (self._put_back and self.chance.random() < 0.6):
            self.put_back()
            return
        what = self.chance.choice(
            (self._tune, self._remove, self._rename, self._spoil, self._invite)
        )
        what()
        self._reload()

    def put_back(self):
        """Have the routes as they were, and the guest if it ever came."""
        if not self._put_back and not self.is_spoiled:
            return
        while self._put_back:
            name = self._put_back.pop()
            keys = {line.name: line.keys for line in (*LINES, GUEST)}[name]
            self.folders.routes[name] = (name, keys)
        self.is_spoiled = False
        self.folders.write()
        self._reload()

    def _reload(self):
        if self.daemon.is_alive:
            self.daemon.reload()
            self.reloads += 1

    def _any(self):
        return self.chance.choice([line.name for line in LINES])

    def _tune(self):
        """Another pace for one route, and other limits."""
        name = self._any()
        if name in self.folders.routes:
            called, keys = self.folders.routes[name]
            pace = {"poll": self.chance.choice(("1s", "2s", "500ms"))}
            self.folders.routes[name] = (called, {**keys, **pace})
            self._put_back.append(name)
        self.folders.connections = self.chance.randint(4, 12)
        self.folders.write()

    def _remove(self):
        name = self._any()
        self.folders.routes.pop(name, None)
        self._put_back.append(name)
        self.folders.write()

    def _rename(self):
        """Call a route something else; its folders stay."""
        name = self._any()
        if name in self.folders.routes:
            _, keys = self.folders.routes[name]
            self.folders.routes[name] = (f"{name}-2", keys)
            self._put_back.append(name)
        self.folders.write()

    def _spoil(self):
        """Make the file one that a daemon at work passes over, and that none could start with."""
        self.daemon.await_begun()
        self.is_spoiled = True
        self.folders.write(spoiled=self.chance.choice(NONSENSE))

    def _invite(self):
        """Let the guest come, or go if it is there."""
        if GUEST.name in self.folders.routes:
            del self.folders.routes[GUEST.name]
            self._put_back.append(GUEST.name)
        else:
            self.folders.make(GUEST.name)
            self.folders.routes[GUEST.name] = (GUEST.name, GUEST.keys)
            self.guest_is_known = True
        self.folders.write()
