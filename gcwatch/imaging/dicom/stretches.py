"""Remembers stretches of header bytes, so that what files have in common is read only once.

The files of a series differ in a few elements. What lies between these is the same bytes, so it
holds the same elements: comparing it with a stretch that was read before is one call, whatever the
number of its elements.
"""

import threading
from collections.abc import Sequence
from typing import Final, NamedTuple

HEAD_BYTES: Final = 8
"""Stretches are found by their first bytes: the tag of the first element, its VR and length."""

_MOST_PER_HEAD: Final = 4
"""As many series may be mixed without being read element by element."""
_MOST_BYTES: Final = 1 << 20
_NO_TAG: Final = 1 << 32
"""More than any tag."""

Element = tuple[int, bytes, bytes]
"""A tag, a VR and a value."""


class ReadElement(NamedTuple):
    """An element of a header that was read: its tag, its bytes, and what is needed of it.

    If it is of one file, it is in no stretch.
    """

    tag: int
    content: bytes
    needed: Element | None = None
    is_own: bool = False


class Stretch(NamedTuple):
    """Bytes of a header from one element to another, and the elements in it that are needed.

    `first` and `last` are the tags of these: without any, greater than every tag, and 0.
    """

    content: bytes
    needed: tuple[Element, ...]
    first: int
    last: int


class Stretches:
    """The stretches of headers of one encoding; threads may share it.

    It holds at most about 1 MiB: then it forgets all and learns anew.
    """

    def __init__(self) -> None:
        self._by_head: dict[bytes, tuple[Stretch, ...]] = {}
        self._bytes = 0
        self._before: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def find(self, data: bytes, at: int, last: int) -> Stretch | None:
        """Return a stretch that lies at a position, and whose elements follow the tag *last*."""
        for stretch in self._by_head.get(data[at : at + HEAD_BYTES], ()):
            if stretch.first > last and data.startswith(stretch.content, at):
                return stretch
        return None

    def learn(self, elements: Sequence[ReadElement | None]) -> None:
        """Given what was read element by element, remember what the file before had, too.

        A None stands for a stretch that was found between two elements.
        """
        run: list[ReadElement] = []
        with self._lock:
            for element in (*elements, None):
                if element is not None and self._is_as_before(element):
                    run.append(element)
                elif run:
                    self._remember(run)
                    run = []
            self._before = {each.tag: each.content for each in elements if each is not None}

    def _is_as_before(self, element: ReadElement) -> bool:
        return not element.is_own and self._before.get(element.tag) == element.content

    def _remember(self, run: Sequence[ReadElement]) -> None:
        content = b"".join(element.content for element in run)
        needed = tuple(element.needed for element in run if element.needed)
        first, last = (needed[0][0], needed[-1][0]) if needed else (_NO_TAG, 0)
        if self._bytes + len(content) > _MOST_BYTES:
            self._by_head, self._bytes = {}, 0
        head = content[:HEAD_BYTES]
        known = self._by_head.get(head, ())
        self._by_head[head] = (Stretch(content, needed, first, last), *known[: _MOST_PER_HEAD - 1])
        self._bytes += len(content) - sum(len(each.content) for each in known[_MOST_PER_HEAD - 1 :])
