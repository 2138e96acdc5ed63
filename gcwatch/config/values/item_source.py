"""The type of `source`: an archive on the platform whose items are the cases of a route."""

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import PlainValidator, ValidationInfo, WithJsonSchema

from gcwatch.config.values.cron import Cron
from gcwatch.config.values.types import check_slug, parse_schedule, value_error
from gcwatch.core.timing import Every

_HINT: Final = 'write { archive = "slug" }, or { archive = "slug", every = "1h" }'
_EVERY: Final = "10m"


@dataclass(frozen=True)
class ItemSource:
    """The slug of an archive, and how often gcwatch looks for new and changed items in it."""

    archive: str
    every: Every | Cron


def _item_source(value: Any, info: ValidationInfo) -> ItemSource:
    match value:
        case ItemSource():
            return value
        case {"archive": str(slug), **others} if others.keys() <= {"every"}:
            return ItemSource(check_slug(slug), parse_schedule(others.get("every", _EVERY), info))
        case _:
            raise value_error("is no archive whose items are cases", _HINT)


ItemsOf = Annotated[
    ItemSource,
    PlainValidator(_item_source),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "archive": {"type": "string", "description": "Slug of the archive."},
                "every": {"type": "string", "description": "How often its items are listed."},
            },
            "required": ["archive"],
            "additionalProperties": False,
        }
    ),
]
