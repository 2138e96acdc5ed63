"""Convert CHANGELOG.md on standard input to Debian's changelog on standard output.

An unreleased version counts as older than its release: 0.1.0~git20261123014140. The number is the
time of the last commit (from $SOURCE_DATE_EPOCH), so that a later build upgrades an earlier one.
"""

import os
import re
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_MAINTAINER: Final = "gcwatch developers <gcwatch@localhost>"
_NOT_YET: Final = "not released yet"
_HEADING: Final = re.compile(r"## (\d\S*), (.+)\n")
_POINT: Final = re.compile(r"^- (.+(?:\n  .+)*)", re.MULTILINE)


def debian(changelog: str, built: datetime) -> str:
    """Given CHANGELOG.md and the time of the last commit, return debian/changelog."""
    _, *parts = _HEADING.split(changelog)
    releases = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return "\n".join(_entry(*release, built) for release in releases)


def _entry(version: str, released: str, points: str, built: datetime) -> str:
    """Format one release, in the form that deb-changelog(5) asks for."""
    when = built
    if released == _NOT_YET:
        version = f"{version}~git{built:%Y%m%d%H%M%S}"
    else:
        when = datetime.strptime(released, "%Y-%m-%d").replace(tzinfo=UTC)
    lines = "\n".join(_points(points))
    head = f"gcwatch ({version}) unstable; urgency=medium"
    return f"{head}\n\n{lines}\n\n -- {_MAINTAINER}  {when:%a, %d %b %Y %H:%M:%S +0000}\n"


def _points(text: str) -> Iterator[str]:
    for point in _POINT.findall(text):
        yield textwrap.fill(
            " ".join(point.split()), 78, initial_indent="  * ", subsequent_indent="    "
        )


if __name__ == "__main__":
    last_commit = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    sys.stdout.write(debian(sys.stdin.read(), last_commit))
