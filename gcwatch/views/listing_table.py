"""`gcwatch list`: slugs and titles, with links."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from gcwatch.commands.listing import Listed
from gcwatch.core.text import printable_name
from gcwatch.views.links import link_style, whole_line
from gcwatch.views.terminal import plain_table


def listing(found: Sequence[Listed], *, clickable: bool) -> Iterator[RenderableType]:
    """Yield what was found: a table whose slugs are links, or lines with the links below."""
    if clickable or not any(each.link for each in found):
        table = plain_table("slug", "title", *["kind"] * any(each.kind for each in found))
        for each in found:
            cells = (each.title, *[each.kind] * bool(each.kind))
            slug = Text(each.slug, link_style(each.link))
            table.add_row(slug, *(Text(printable_name(cell)) for cell in cells))
        yield table
        return
    for each in found:
        yield Text.assemble((each.slug, "bold"), "  ", printable_name(each.title))
        yield whole_line(each.link, before="  ")
