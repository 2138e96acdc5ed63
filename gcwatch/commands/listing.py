"""`gcwatch list`: what the token can see of the platform's algorithms, archives and so on."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from html import unescape
from typing import Final, Literal

from gcwatch.commands.send.access import access_settings
from gcwatch.commands.send.options import Access
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.connect import connect
from gcwatch.platform.models import Algorithm, Collection, Socket

Listable = Literal["algorithms", "archives", "reader-studies", "sockets"]
"""What the platform has lists of."""


@dataclass(frozen=True)
class Listed:
    """One line of a list: its slug, its title, and its page on the platform.

    A socket has no page; `kind` is the platform's word for its content.
    """

    slug: str
    title: str
    link: str = ""
    kind: str = ""


_LISTS: Final[
    Mapping[str, Callable[[GrandChallenge], Sequence[Algorithm | Collection | Socket]]]
] = {
    "algorithms": GrandChallenge.algorithms,
    "archives": GrandChallenge.archives,
    "reader-studies": GrandChallenge.reader_studies,
    "sockets": GrandChallenge.sockets,
}


def listed(what: Listable, word: str, access: Access) -> list[Listed]:
    """Return what the token can see, by slug; with a word, what has it in its slug or title.

    Raises:
        TokenRefused: when the platform does not take the token, or there is none.
        Unreachable: when the platform can't be asked.
    """
    with closing(connect(access_settings(access), access.token)) as platform:
        found = map(_line, _LISTS[what](platform))
        return [each for each in found if _has(each, word)]


def _has(each: Listed, word: str) -> bool:
    return any(word.casefold() in text.casefold() for text in (each.slug, each.title))


def _line(found: Algorithm | Collection | Socket) -> Listed:
    if isinstance(found, Socket):
        return Listed(found.slug, found.title, kind=found.kind)
    # A reader study's title is HTML since 2026 (platform 12.4).
    return Listed(found.slug, unescape(found.title), found.url)
