"""What a kind of input is: a folder, the truth about it, and what has to come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from support.importer.judge import Picture

RIGHT, WRONG, SEVERAL, NOTHING = "the image", "another image", "several images", "no image"
"""What panimg makes of a folder, compared with what an independent reader reads."""

SENT = ""
"""What gcwatch does with a folder, where it is not the code of a reason."""

UNFOUND = "sent: can't be found"
"""Damage within compressed pixels: only who decodes them sees it. docs/images.md says so."""


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    `build` writes it into an empty folder and returns the picture that it shows, None if it shows
    none: a file is cut, patients are mixed. `panimg` is one of the four above. `gcwatch` is the
    code of the reason with which a route with default settings refuses it, or `SENT`, or `UNFOUND`
    where the promise does not hold. `plain` is
    the same for a route with `deidentify = false`.
    """

    group: str
    name: str
    build: Callable[[Path], Picture | None]
    panimg: str
    gcwatch: str
    plain: str

    def __str__(self):
        return f"{self.group}: {self.name}"


class Kinds(list):
    """Kinds of one group, in the order in which they are written down."""

    def __init__(self, group):
        super().__init__()
        self._group = group

    def add(self, name, panimg, gcwatch=SENT, plain=None):
        """Decorate a function that builds a kind."""

        def register(build):
            self.append(
                Kind(self._group, name, build, panimg, gcwatch, gcwatch if plain is None else plain)
            )
            return build

        return register
