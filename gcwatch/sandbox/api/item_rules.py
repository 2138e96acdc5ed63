"""Creating and changing display sets and archive items: the platform's checks.

Both kinds have nearly the same rules (platform 5, 6); the two `CaseKind`s hold the differences.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gcwatch.sandbox.api import permissions
from gcwatch.sandbox.api.requests import parse_hyperlink
from gcwatch.sandbox.api.socket_sources import DEAD_LINK, Errors, read_sources, start_source
from gcwatch.sandbox.content.catalogue import Archive, ReaderStudy
from gcwatch.sandbox.model import ArchiveItem, Case, DisplaySet, PlatformState, Source, User
from gcwatch.sandbox.server.reply import html_refusal, json_refusal

C = TypeVar("C", DisplaySet, ArchiveItem)

_MAX_TITLE_CHARACTERS = 255
_MAX_ORDER = 2**31 - 1


@dataclass(frozen=True)
class CaseKind(Generic[C]):
    """One of the two kinds of cases.

    Attributes:
        model: Its name in the platform's messages.
        owner: Field of a request that names the archive or reader study.
        path: API path of the list.
        records: All cases of the kind, by pk.
        find: Finds the archive or study that a request names; its ValueError has the platform's
            message.
        make: Makes a case from its owner, title and order.
    """

    model: str
    owner: str
    path: str
    records: Callable[[PlatformState], dict[str, C]]
    find: Callable[[PlatformState, User, Any], ReaderStudy | Archive]
    make: Callable[[PlatformState, Any, str, int], C]


@dataclass
class _Fields:
    """The fields of a request for a case; None for a field that is absent."""

    owner: Any
    title: str | None
    order: int | None
    sources: list[Source]


def create_case(state: PlatformState, user: User, kind: CaseKind[C], data: dict[str, Any]) -> C:
    """Create a case without values.

    Raises:
        Refusal: 400 with the platform's body; 500 if two requests race for a title (platform 5.2).
    """
    fields = _read_fields(state, user, kind, data, whole=True)
    title = fields.title or ""
    _check_unique(state, kind, title, fields.owner)
    if data.get("values"):
        raise json_refusal(400, ["Values can only be added via update"])
    case = kind.make(state, fields.owner, title, fields.order or 0)
    kind.records(state)[case.pk] = case
    return case


def update_case(
    state: PlatformState, user: User, case: Case, data: dict[str, Any], *, whole: bool
) -> None:
    """Change a case completely, or not at all if anything is invalid.

    Args:
        state: All records.
        user: The user, who must have the right to.
        case: The case to change.
        data: The request's body.
        whole: Whether values of other sockets are removed (PUT).

    Raises:
        Refusal: 400 with the platform's body.
    """
    kind: CaseKind[Any] = DISPLAY_SETS if isinstance(case, DisplaySet) else ITEMS
    _check_unanswered(case)
    fields = _read_fields(state, user, kind, data, whole=whole)
    title = case.title if fields.title is None else fields.title
    _check_unique(state, kind, title, fields.owner or case.parent, case)
    _check_allowed(case, fields.sources)
    case.title = title
    case.parent = fields.owner or case.parent
    if fields.order is not None and isinstance(case, DisplaySet):
        case.order = fields.order or _next_order(state, case.parent)
    kept = {each.socket.slug for each in fields.sources}
    if whole:
        case.values = {slug: value for slug, value in case.values.items() if slug in kept}
    for source in fields.sources:
        _start_source(state, case, source)


def _start_source(state: PlatformState, case: Case, source: Source) -> None:
    start_source(state, case, source)
    if source.value is not None:
        case.values[source.socket.slug] = source.value
    if source.upload or source.dicom:
        state.pending_sources.append(source)


def _check_unique(
    state: PlatformState, kind: CaseKind[C], title: str, owner: Any, case: C | None = None
) -> None:
    twins = (
        each
        for each in kind.records(state).values()
        if each is not case and each.parent is owner and each.title == title
    )
    if title and any(twins):
        if state.settings.race and case is None:
            raise html_refusal(500)
        problem = f"The fields title, {kind.owner} must make a unique set."
        raise json_refusal(400, {"non_field_errors": [problem]})


def _check_unanswered(case: Case) -> None:
    if isinstance(case, DisplaySet) and case.answers:
        problem = "This display set cannot be changed, as answers for it already exist."
        raise json_refusal(400, [problem])


def _check_allowed(case: Case, sources: list[Source]) -> None:
    if isinstance(case, DisplaySet):
        return
    allowed = case.parent.allowed_sockets
    for source in sources:
        if allowed is not None and source.socket.slug not in allowed:
            raise json_refusal(
                400, [f"Socket '{source.socket.slug}' is not allowed for this archive."]
            )


def _read_fields(
    state: PlatformState, user: User, kind: CaseKind[C], data: dict[str, Any], *, whole: bool
) -> _Fields:
    """Read all fields of a body; one refusal holds all errors."""
    errors: Errors = {}
    fields = _Fields(
        owner=_read_field(errors, kind.owner, data, lambda given: kind.find(state, user, given)),
        title=_read_field(errors, "title", data, _parse_title),
        order=_read_field(errors, "order", data, _parse_order) if kind is DISPLAY_SETS else None,
        sources=[],
    )
    if whole and kind.owner not in data:
        errors[kind.owner] = ["This field is required."]
    if data.get("values", ()) is None:
        errors["values"] = ["This field may not be null."]
    elif "values" in data:
        fields.sources = read_sources(state, user, "values", data["values"], errors)
    if errors:
        raise json_refusal(400, errors)
    return fields


def _read_field(errors: Errors, key: str, data: dict[str, Any], read: Callable[[Any], Any]) -> Any:
    """Read a field; return None if it is absent or invalid."""
    if key not in data:
        return None
    if data[key] is None:
        errors[key] = ["This field may not be null."]
        return None
    try:
        return read(data[key])
    except ValueError as error:
        errors[key] = [str(error)]
        return None


def _parse_title(given: Any) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        message = "Not a valid string."
        raise ValueError(message)  # noqa: TRY004 - one error for all bad fields
    title = str(given).strip()
    if "\0" in title:
        message = "Null characters are not allowed."
        raise ValueError(message)
    if len(title) > _MAX_TITLE_CHARACTERS:
        message = f"Ensure this field has no more than {_MAX_TITLE_CHARACTERS} characters."
        raise ValueError(message)
    return title


def _parse_order(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        message = "A valid integer is required."
        raise ValueError(message)  # noqa: TRY004 - one error for all bad fields
    if not 0 <= given <= _MAX_ORDER:
        relation, limit = ("greater", 0) if given < 0 else ("less", _MAX_ORDER)
        message = f"Ensure this value is {relation} than or equal to {limit}."
        raise ValueError(message)
    return given


def _find_study(state: PlatformState, user: User, slug: Any) -> ReaderStudy:
    for study in state.catalogue.reader_studies:
        if study.slug == slug and permissions.can_change(state, user, study):
            return study
    message = f"Object with slug={slug} does not exist."
    raise ValueError(message)


def _find_archive(state: PlatformState, user: User, link: Any) -> Archive:
    pk = parse_hyperlink(link, "archives/")
    for archive in state.catalogue.archives:
        if archive.pk == pk and permissions.can_change(state, user, archive):
            return archive
    raise ValueError(DEAD_LINK)


def make_display_set(
    state: PlatformState, study: ReaderStudy, title: str, order: int
) -> DisplaySet:
    """Make a display set, not yet among the records; order 0 puts it last (platform 5.4)."""
    return DisplaySet(study, title, state.now(), order or _next_order(state, study))


def _next_order(state: PlatformState, study: ReaderStudy) -> int:
    orders = [each.order for each in state.display_sets.values() if each.parent is study]
    return max(orders, default=0) + 10


def _make_item(state: PlatformState, archive: Archive, title: str, _order: int) -> ArchiveItem:
    return ArchiveItem(archive, title, state.now())


DISPLAY_SETS = CaseKind(
    model="DisplaySet",
    owner="reader_study",
    path="reader-studies/display-sets/",
    records=lambda state: state.display_sets,
    find=_find_study,
    make=make_display_set,
)
ITEMS = CaseKind(
    model="ArchiveItem",
    owner="archive",
    path="archives/items/",
    records=lambda state: state.items,
    find=_find_archive,
    make=_make_item,
)
