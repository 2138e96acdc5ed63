"""The target `reader_study`: a case becomes exactly one display set (platform 5)."""

from collections.abc import Mapping
from typing import Any, Final

from gcwatch.core.case import Target
from gcwatch.targets.items import ItemTarget


def _item_body(target: Target) -> Mapping[str, Any]:
    order = {} if target.order is None else {"order": target.order}
    return {"reader_study": target.slug, "title": target.title, **order}


TARGET: Final = ItemTarget(
    kind="reader_study",
    look_up=lambda platform, slug: platform.reader_study(slug),
    body=_item_body,
)
