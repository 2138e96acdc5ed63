"""Kinds of targets: what each is called, and what a case becomes there. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["algorithm", "reader_study", "archive"]
"""What a case is sent to: it becomes a job, a display set or an archive item.

A kind is also a key of the config, of receipts and of the platform's calls.
"""

ItemKind = Literal["reader_study", "archive"]
"""The kinds of targets that hold items: display sets or archive items."""


@dataclass(frozen=True)
class KindNames:
    """How one kind of target is named.

    Attributes:
        noun: The target, for people.
        purpose: What a config with such a target is for, for people.
        right: What the token has to be allowed to do with it, for people.
        role: Who is allowed to, for people.
        product: What a case becomes there, for people.
        product_key: The same as a key in receipts and in the log.
        product_path: Where the platform's API keeps these.
        product_page: The page of one, below the platform's root; a template of slug and pk.
    """

    noun: str
    purpose: str
    right: str
    role: str
    product: str
    product_key: str
    product_path: str
    product_page: str


KIND_NAMES: Final[Mapping[Kind, KindNames]] = {
    "algorithm": KindNames(
        noun="algorithm",
        purpose="run an algorithm",
        right="run it",
        role="user",
        product="job",
        product_key="job",
        product_path="algorithms/jobs",
        product_page="algorithms/{slug}/jobs/{pk}/",
    ),
    "reader_study": KindNames(
        noun="reader study",
        purpose="fill a reader study",
        right="add to it",
        role="editor",
        product="display set",
        product_key="display_set",
        product_path="reader-studies/display-sets",
        product_page="reader-studies/{slug}/display-sets/{pk}/",
    ),
    "archive": KindNames(
        noun="archive",
        purpose="fill an archive",
        right="add to it",
        role="editor or uploader",
        product="archive item",
        product_key="archive_item",
        product_path="archives/items",
        product_page="archives/{slug}/items/{pk}/",
    ),
}

PRODUCT_KEYS: Final = tuple(names.product_key for names in KIND_NAMES.values())
"""The keys under which receipts and the log say what a case became."""
