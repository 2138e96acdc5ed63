"""The parts of a file, and how those of two files differ."""

import collections
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from gcwatch.core.text import count_noun, printable_name
from gcwatch.files.atomic import BUFFER_BYTES

Action = Literal["removed", "replaced", "added", "kept"]

_LONGEST_TEXT = 120
NEW_UID = "a new UID"


@dataclass(frozen=True)
class Part:
    """What one place of a file holds: its bytes or their digest, and how people read it.

    `summary` is how it is told what takes the place of another part, "" for its text.
    """

    place: str
    content: bytes
    text: str
    summary: str = ""


@dataclass(frozen=True)
class Change:
    """What happens to `count` parts at one place; `by` is what takes their place.

    `value` is the text of the first of them in the original: it may be a name.
    """

    place: str
    action: Action
    count: int = 1
    by: str = ""
    value: str = ""


def text_part(place: str, content: bytes) -> Part:
    """Given a place and its bytes, return them as a part; a long one as a digest."""
    shown = content.strip(b" \0\r\n")
    if len(shown) > _LONGEST_TEXT:
        return data_part(place, iter([content]))
    return Part(place, content, printable_name(shown.decode("utf-8", "replace")))


def data_part(place: str, pieces: Iterable[bytes]) -> Part:
    """Given a place and its bytes in pieces, return a part with their digest."""
    total, size = hashlib.sha256(), 0
    for piece in pieces:
        total.update(piece)
        size += len(piece)
    return Part(place, total.digest(), count_noun(size, "byte"))


def rest_part(place: str, size: int) -> Iterator[Part]:
    """Yield a part for bytes that belong to nothing, if there are any."""
    if size > 0:
        yield Part(place, size.to_bytes(8), count_noun(size, "byte"))


def read_pieces(stream: BinaryIO, begin: int, count: int) -> Iterator[bytes]:
    """Yield `count` bytes of a file from a place on."""
    stream.seek(begin)
    while count > 0 and (data := stream.read(min(count, BUFFER_BYTES))):
        yield data
        count -= len(data)


def compare_parts(old: Iterable[Part], new: Iterable[Part]) -> list[Change]:
    """Given the parts of the original and of what goes out, return what happened, place by place.

    Several parts at one place, as the items of a sequence have, make one change.
    """
    left = _by_place(new)
    changes: list[Change] = []
    for place, parts in _by_place(old).items():
        changes += _compare_place(place, parts, left.pop(place, []))
    for place, parts in left.items():
        changes.append(Change(place, "added", len(parts), _what(parts)))
    return changes


def _by_place(parts: Iterable[Part]) -> dict[str, list[Part]]:
    found = collections.defaultdict[str, list[Part]](list)
    for part in parts:
        found[part.place].append(part)
    return dict(found)


def _compare_place(place: str, old: list[Part], new: list[Part]) -> Iterator[Change]:
    same = collections.Counter(part.content for part in new)
    rest = []
    for part in old:
        if same[part.content] > 0:
            same[part.content] -= 1
        else:
            rest.append(part)
    added = [part for part in reversed(new) if _take(same, part)][::-1]
    if kept := len(old) - len(rest):
        yield Change(place, "kept", kept, value=old[0].text)
    if replaced := min(len(rest), len(added)):
        by = _what(added[:replaced])
        yield Change(place, "replaced", replaced, by, rest[0].text)
    if len(rest) > replaced:
        yield Change(place, "removed", len(rest) - replaced, value=rest[replaced].text)
    if len(added) > replaced:
        yield Change(place, "added", len(added) - replaced, _what(added[replaced:]))


def _take(counts: "collections.Counter[bytes]", part: Part) -> bool:
    counts[part.content] -= 1
    return counts[part.content] >= 0


def _what(parts: list[Part]) -> str:
    told = {part.summary or (f'"{part.text}"' if part.text else "nothing") for part in parts}
    return told.pop() if len(told) == 1 else "several values"
