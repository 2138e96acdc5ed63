"""A bundle, the files in it, and what goes out of each.

Files that must not be sent are refused here, or left out with a warning.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self, cast

from gcwatch.core.errors import CannotSend
from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.copies import Copy, Prepare

_MOST_HELD_BYTES = 24 * 1024 * 1024
"""Of new headers, between the time when all files are judged and when they are written."""


@dataclass(frozen=True)
class Bundle:
    """One upload: a file with `size` bytes, named `filename` on the platform.

    `file` is in the spool, or a listed file of the inbox that is sent directly from there. `files`
    is how many of the folder's files are in it, `left_out` how many are not. `warnings` tell why
    the platform may make a wrong or incomplete image of it; `forecast` says what it must make of
    it. `content` is a digest of what DICOM images it holds, whatever de-identification makes of
    them (of a whole set in its first bundle); "" if the bytes themselves tell that. Each step of
    `growth` writes more of the file, and tells how many of its first bytes are final. `not_taken`
    names series of the folder that the route does not take.
    """

    file: Path | SourceFile
    filename: str
    size: int
    files: int
    left_out: int
    warnings: tuple[Reason, ...] = ()
    forecast: ImageForecast = UNKNOWN
    content: str = ""
    growth: Iterator[int] = field(default=iter(()), repr=False, compare=False)
    not_taken: tuple[Reason, ...] = ()

    def written(self) -> Self:
        """Write what is missing of the file."""
        for _ in self.growth:
            pass
        return self


@dataclass(frozen=True)
class Member:
    """One file of a bundle: its name in the bundle, its source, and how it is written."""

    name: str
    file: SourceFile
    prepare: Prepare


def with_set_facts(bundles: Sequence[Bundle], content: "SpoolContent") -> tuple[Bundle, ...]:
    """Given the bundles of one set, return them with what is said of the set in the first one."""
    first = dataclasses.replace(
        bundles[0],
        left_out=content.left_out,
        warnings=content.warnings,
        content=content.content,
        not_taken=content.not_taken,
    )
    return first, *bundles[1:]


@dataclass
class SpoolContent:
    """The members to write to the spool, their warnings, and the facts of their image.

    If `lenient`, members that are refused are left out with a warning, and there is no forecast.
    `suffix` is that of an upload of one file. `is_direct`: the members go out as they are, from
    the inbox.
    """

    members: Sequence[Member]
    warnings: tuple[Reason, ...]
    left_out: int
    lenient: bool
    forecast: ImageForecast = UNKNOWN
    content: str = ""
    suffix: str = ".dcm"
    is_direct: bool = False
    written: int = 0
    not_taken: tuple[Reason, ...] = ()

    def open_members(self) -> Iterator[tuple[Member, BinaryIO, Copy]]:
        """Yield each member, its file, which is open meanwhile, and what goes out of it.

        Raise CannotSend if a member is refused; if `lenient`, only if all members are refused.
        """
        refusal: CannotSend | None = None
        for member in self.members:
            with open_unchanged(member.file) as stream:
                try:
                    copy = member.prepare(stream)
                    if self.lenient and copy.size is None:
                        copy.write(stream, _NOWHERE)  # may refuse, too; half a member can't go out
                except CannotSend as error:
                    refusal = error
                    self._leave_out(error)
                    continue
                yield member, stream, copy
                self.written += 1
        if refusal and not self.written:
            raise refusal

    def sized_members(self) -> "list[SizedMember] | None":
        """Return all members with what goes out of them; None if their sizes are not known.

        Nor are they if that would take too much memory. Raise as `open_members`.
        """
        found: list[SizedMember] = []
        held = 0
        for member, _, copy in self.open_members():
            held += copy.held
            if copy.size is None or held > _MOST_HELD_BYTES:
                return None
            found.append(SizedMember(member, copy, copy.size))
        return found

    def bundle(self, path: Path, size: int) -> Bundle:
        """Return the bundle of all members, given its file, and what this has or will have."""
        return Bundle(
            path,
            path.name,
            size,
            self.written,
            self.left_out,
            self.warnings,
            self.forecast,
            self.content,
            not_taken=self.not_taken,
        )

    def _leave_out(self, error: CannotSend) -> None:
        if not self.lenient:
            raise error
        reason = error.reason
        self.left_out += 1
        self.forecast = UNKNOWN
        self.warnings = (*self.warnings, Reason("left_out", reason.facts, reason.names))


@dataclass(frozen=True)
class SizedMember:
    """A member, and what goes out of it, which has a known size."""

    member: Member
    copy: Copy
    size: int

    def write(self, target: BinaryIO) -> None:
        """Write the member; raise SourceChanged if its file changed since it was judged."""
        with open_unchanged(self.member.file) as stream:
            self.copy.write(stream, target)


class _Nowhere:
    """A target that keeps nothing."""

    def write(self, data: bytes) -> int:
        """Return how many bytes were written."""
        return len(data)


_NOWHERE = cast("BinaryIO", _Nowhere())
