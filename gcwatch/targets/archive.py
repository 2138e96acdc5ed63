"""The target `archive`: a case becomes exactly one archive item (platform 6)."""

from collections.abc import Mapping
from typing import Any, Final

from gcwatch.core.case import Target
from gcwatch.targets.items import ItemTarget


def _item_body(target: Target) -> Mapping[str, Any]:
    return {"archive": target.api_url, "title": target.title}


TARGET: Final = ItemTarget(
    kind="archive",
    look_up=lambda platform, slug: platform.archive(slug),
    body=_item_body,
)
