"""`gcwatch list`: slugs and titles, with links."""

from collections.abc import Iterator, Sequence

from rich.console import Group
from rich.text import Text

from gcwatch.commands.listing import Listed
from gcwatch.core.text import printable_name
from gcwatch.views.links import link_style, whole_line
from gcwatch.views.terminal import plain_table


def listing(found: Sequence[Listed], *, clickable: bool) -> Group:
    """Return what was found: a table whose slugs are links, or lines with the links below."""
    if clickable or not any(each.link for each in found):
        table = plain_table("slug", "title", *["kind"] * any(each.kind for each in found))
        for each in found:
            cells = (each.title, *[each.kind] * bool(each.kind))
            slug = Text(each.slug, link_style(each.link))
            table.add_row(slug, *(Text(printable_name(cell)) for cell in cells))
        return Group(table)
    return Group(*(line for each in found for line in _lines(each)))


def _lines(each: Listed) -> Iterator[Text]:
    yield Text.assemble((each.slug, "bold"), "  ", printable_name(each.title))
    if each.link:
        yield whole_line(each.link, before="  ")
