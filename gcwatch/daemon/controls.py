"""The signals by which a command or a program controls the daemon."""

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Controls:
    """The signals that control the daemon: *stop* it, let it *reload* its config file.

    With `until_idle` it ends when nothing is left that could be done now. With `take_over` it also
    works on inboxes that belong to another gcwatch.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    reload: threading.Event = field(default_factory=threading.Event)
    until_idle: bool = False
    take_over: bool = False
