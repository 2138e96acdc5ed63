"""What the measurements of the service tell: figures, and what is expected of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Figure:
    """One number; `most` is the highest that is expected, if something is."""

    what: str
    value: float
    unit: str = ""
    most: float | None = None


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print a table for people, and a line of JSON for programs."""
    from rich.console import Console  # noqa: PLC0415 - the measured processes do without
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table("", "measured", "expected", "", title=title)
    for each in figures:
        expected = "" if each.most is None else f"under {each.most:g} {each.unit}"
        met = "" if each.most is None else "yes" if each.value < each.most else "NO"
        table.add_row(each.what, f"{each.value:.4g} {each.unit}", expected, met)
    Console(width=130).print(table)
    print(json.dumps({title: [asdict(each) for each in figures]}))
