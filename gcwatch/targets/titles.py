"""Makes the titles of display sets and archive items; a unique title prevents a second item."""

import re
from collections.abc import Mapping

from gcwatch.config import Route
from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.core.tables.case_table import ORDER, TITLE
from gcwatch.targets.context import DroppedFolder

_MAX_TITLE_CHARACTERS = 200
_MAX_FOLDER_CHARACTERS = 120
_MAX_ORDER = 2**31 - 1


def make_title(route: Route, dropped: DroppedFolder) -> str:
    """Return the title of a case's display set or archive item (platform 5.3, 10.3).

    It has only characters that the platform returns unchanged. Without a `title` in the route it
    is the key, or with `names = "keep"` the folder's name and the key's random part, or with a
    table of pseudonyms the pseudonym and the random part. A title in the row of the table of cases
    comes before all of them.
    """
    made = _fill_template(route, dropped, _MAX_FOLDER_CHARACTERS)[:_MAX_TITLE_CHARACTERS].strip()
    return made if re.search("[A-Za-z0-9]", made) else dropped.key


def find_shortened(route: Route, dropped: DroppedFolder, title: str) -> Reason | None:
    """Given the title that was made for a folder, return a warning if it is only a part of it."""
    if len(_fill_template(route, dropped, len(dropped.name))) <= len(title):
        return None
    most = {"title": _MAX_TITLE_CHARACTERS, "folder": _MAX_FOLDER_CHARACTERS}
    return Reason("title_shortened", most, {"short": title})


def _fill_template(route: Route, dropped: DroppedFolder, most_of_folder: int) -> str:
    if dropped.row is not None and TITLE in dropped.row.cells:
        return _plain_text(dropped.row.cells[TITLE])
    usual = "{key}" if route.names == "opaque" else "{folder} {id}"
    given = route.title or ("{pseudonym} {id}" if dropped.pseudonym else usual)
    fields = _template_fields(dropped, route.name)
    name = _plain_text(dropped.name)[:most_of_folder]
    return _plain_text(given.format_map({**fields, "folder": name}))


def is_own_title(made: str, key: str) -> bool:
    """Whether a title contains the key's random part, so that nobody else can have made it."""
    return key.rpartition("-")[2] in made


def make_order(route: Route, dropped: DroppedFolder) -> int | None:
    """Return the order number of a case's display set, or None to let the platform choose.

    Raises:
        CannotSend: when the route's template gives no number for this folder.
    """
    if dropped.row is not None and ORDER in dropped.row.cells:
        return int(dropped.row.cells[ORDER])
    if route.order is None:
        return None
    made = route.order.format_map(_template_fields(dropped, route.name)).strip()
    if not re.fullmatch("[0-9]+", made) or int(made) > _MAX_ORDER:
        raise CannotSend(Reason("no_order", {"template": route.order}))
    return int(made)


def _template_fields(dropped: DroppedFolder, route: str) -> Mapping[str, str]:
    numbers = re.findall("[0-9]+", dropped.name)
    return {
        "key": dropped.key,
        "id": dropped.key.rpartition("-")[2],
        "route": route,
        "pseudonym": dropped.pseudonym,
        "folder": _plain_text(dropped.name),
        "number": numbers[-1] if numbers else "",
    }


def _plain_text(text: str) -> str:
    return " ".join(re.sub(r"[^A-Za-z0-9 ._-]", "_", text).split())
