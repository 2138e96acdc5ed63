"""Display sets and archive items: a case becomes exactly one (platform 5, 6 and 10.3).

No two items of a place (a reader study or an archive) can have the same title. So a second call
with the same title is refused, and gcwatch then checks whose item has it. The item is created
empty and then filled by one call, all sockets or none. If an upload session is no longer Queued,
this call had its effect.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gcwatch.config import Route
from gcwatch.core import events
from gcwatch.core.case import Attempt, Case, Input, Target
from gcwatch.core.checklist import StepEvents
from gcwatch.core.errors import CannotSend, NotYet, Refused, Unreachable, UploadsGone
from gcwatch.core.events import Event
from gcwatch.core.kinds import KIND_NAMES, ItemKind, KindNames
from gcwatch.core.reasons import Reason
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Collection, Item, Socket, SocketValue, UploadSession, pk_of
from gcwatch.targets import sending, sockets, titles
from gcwatch.targets.context import HOUR_SECONDS, DroppedFolder, Inspection, TargetContext
from gcwatch.targets.sending import IMPORT_LIMIT_SECONDS

FILE_LIMIT_SECONDS: Final = HOUR_SECONDS
"""Files that are attached later are reported as stalled."""


@dataclass(frozen=True)
class ItemTarget:
    """The operations for cases that become items of one kind of place; see `TargetOperations`.

    Attributes:
        kind: The kind of target.
        look_up: Finds the place by its slug.
        body: Returns the body of the call that creates an item; it has the place under the kind.
    """

    kind: ItemKind
    look_up: Callable[[GrandChallenge, str], Collection | None]
    body: Callable[[Target], Mapping[str, Any]]

    @property
    def names(self) -> KindNames:
        """What such a place, and an item of it, is called."""
        return KIND_NAMES[self.kind]

    # --- planning --------------------------------------------------------------------------------

    def find_place(self, platform: GrandChallenge, slug: str) -> Collection:
        """Given a slug, return the place; raise NotYet (`not_found`) if we can't see it."""
        found = self.look_up(platform, slug)
        if found is None:
            facts = {"what": self.names.noun.capitalize(), "slug": slug}
            raise NotYet(Reason("not_found", facts), HOUR_SECONDS)
        return found

    def inspect(self, platform: GrandChallenge, route: Route) -> Inspection:
        """Return the title of a route's place, the route's sockets, and a missing right."""
        place = self.find_place(platform, route.target)
        asked = tuple(find_socket(platform, slug) for slug in sorted(route.inputs or {}))
        return Inspection(place.title, asked, self._missing_right(platform, place, route))

    def _missing_right(
        self, platform: GrandChallenge, place: Collection, route: Route
    ) -> Reason | None:
        target = Target(place.pk, place.api_url, route.target)
        may_add = platform.may_add(self.kind, self.body(target)[self.kind])
        return None if may_add else sending.no_rights_reason(self.kind, route.target)

    def plan(self, context: TargetContext, dropped: DroppedFolder) -> events.Planned:
        """Match the folder's files to the sockets that the route names."""
        route = context.route
        place = self.find_place(context.platform, route.target)
        missing = self._missing_right(context.platform, place, route)
        if missing is not None:
            raise NotYet(missing, HOUR_SECONDS)
        inputs = tuple(
            sockets.fill_socket(find_socket(context.platform, slug), dropped, context)
            for slug, source in sorted((route.inputs or {}).items())
            if not sockets.source_is_absent(source, dropped)
        )
        if not inputs:
            wanted = ", ".join(sorted(route.inputs or ()))
            raise CannotSend(Reason("no_files", {"socket": wanted, "pattern": "any pattern"}))
        target = Target(
            pk=place.pk,
            api_url=place.api_url,
            slug=route.target,
            kind=self.kind,
            title=titles.make_title(route, dropped),
            order=titles.make_order(route, dropped),
        )
        return events.Planned(inputs, target)

    # --- submitting: exactly one item ------------------------------------------------------------

    def submit(self, case: Case, context: TargetContext) -> StepEvents:
        """Create the item, or find the one that an earlier attempt created, and fill it."""
        if sending.uploads_are_old(case, context.clock()) and not _is_used(case, context):
            raise UploadsGone
        case = yield from sending.create_sessions(case, context.platform)
        if case.submission is None:
            case = yield from self._make_item(case, context)
        if case.submission is not None and case.failure is None:
            yield from self._fill_item(case, context)

    def _make_item(self, case: Case, context: TargetContext) -> Generator[Event, Case, Case]:
        """Create the item, unless an earlier attempt did; the attempt is in the journal before."""
        in_doubt = case.attempt is not None
        if case.attempt is not None:
            found = self._find_item(case, context)
            if found is not None:
                return (yield self._adopt_item(found, case, context))
            sending.wait_out_doubt(case.attempt, context)
        case = yield events.SubmissionAttempted(uptime=context.uptime())
        try:
            item = context.platform.create_item(self.kind, self.body(sending.target_of(case)))
        except Refused as error:
            return (yield self._not_made(error, case, context, in_doubt=in_doubt))
        except Unreachable as error:
            return (
                yield events.AttemptFailed(error.reason, undone=not error.doubt and not in_doubt)
            )
        if context.knows(item.pk):  # an old answer to a new call: whose it is, is not certain
            return (yield events.Rejected(sending.known_reason(self.names.product, item.pk)))
        return (yield self._submitted_event(item.pk, case, context))

    def _submitted_event(self, pk: str, case: Case, context: TargetContext) -> events.Submitted:
        page = sending.public_page(pk, sending.target_of(case), context.platform)
        return events.Submitted(pk, page, filled=False)

    def _find_item(self, case: Case, context: TargetContext) -> Item | None:
        target = sending.target_of(case)
        items = context.platform.items(self.kind, target.pk)
        return next((item for item in items if item.title == target.title), None)

    def _adopt_item(self, found: Item, case: Case, context: TargetContext) -> Event:
        """Given an item with our title, return Submitted if it is ours, else Rejected.

        It is ours if its title contains our key, or if it is empty.
        """
        target = sending.target_of(case)
        is_ours = titles.is_own_title(target.title, case.key) or not found.values
        if not is_ours or context.knows(found.pk):
            return events.Rejected(self._title_taken(target))
        return self._submitted_event(found.pk, case, context)

    def _title_taken(self, target: Target) -> Reason:
        return Reason(
            "title_taken", {"what": self.names.noun, "slug": target.slug}, {"title": target.title}
        )

    def _not_made(
        self, error: Refused, case: Case, context: TargetContext, *, in_doubt: bool
    ) -> Event:
        """Given the refusal of an item, return the event that follows (platform 5, 6, 11.2)."""
        target = sending.target_of(case)
        if error.says("must make a unique set"):
            if not in_doubt and not titles.is_own_title(target.title, case.key):
                return events.Rejected(self._title_taken(target))
            found = self._find_item(case, context)
            if found is not None:
                return self._adopt_item(found, case, context)
            return events.AttemptFailed(
                Reason("title_unclear", {"what": self.names.noun, "slug": target.slug})
            )
        if error.says("does not exist") or error.status == 403:
            return events.Postponed(
                sending.no_rights_reason(self.kind, target.slug),
                wait=HOUR_SECONDS,
                undone=not in_doubt,
            )
        return events.Rejected(sending.refused_reason(error))

    def _fill_item(self, case: Case, context: TargetContext) -> StepEvents:
        """Fill all sockets by one call; the attempt is in the journal before."""
        in_doubt = case.attempt is not None
        if case.attempt is not None:
            had_effect, case = yield from _look_for_effect(case, case.attempt, context)
            if had_effect:
                yield events.ItemFilled()
                return
        case = yield events.SubmissionAttempted(
            images=self._images_before(case, context), uptime=context.uptime()
        )
        values = [sending.input_body(case, item) for item in case.inputs or ()]
        try:
            context.platform.fill_item(self.kind, sending.submission_of(case).pk, values)
        except Refused as error:
            yield self._not_filled(error, case, context, in_doubt=in_doubt)
        except Unreachable as error:
            yield events.AttemptFailed(error.reason, undone=not error.doubt and not in_doubt)
        else:
            yield events.ItemFilled()

    def _images_before(self, case: Case, context: TargetContext) -> tuple[str, ...]:
        """Return the images in the item before the first call; none if sessions identify ours."""
        if all(case.sessions.get(item.socket) for item in sending.session_inputs(case)):
            return ()
        if case.attempt is not None:
            # The earlier call may have attached new images since: keep what was seen before it.
            return case.attempt.images
        return tuple(
            value.image for value in self._held_values(case, context).values() if value.image
        )

    def _not_filled(
        self, error: Refused, case: Case, context: TargetContext, *, in_doubt: bool
    ) -> Event:
        target = sending.target_of(case)
        facts = {"what": self.names.noun, "slug": target.slug}
        if error.says("answers for it already exist"):
            return events.Rejected(Reason("not_editable", facts))
        if error.says("is not allowed for this archive"):
            return events.Rejected(
                Reason("socket_not_allowed", {**facts, "message": sending.refusal_text(error)})
            )
        if error.status == 404:
            return self._item_lost(case, context)
        if error.status == 403:
            return events.Postponed(
                sending.no_rights_reason(self.kind, target.slug),
                wait=HOUR_SECONDS,
                undone=not in_doubt,
            )
        if not error.says("Object does not exist"):
            return events.Rejected(sending.refused_reason(error))
        return _used_or_expired(case, context, in_doubt=in_doubt)

    def _item_lost(self, case: Case, context: TargetContext) -> Event:
        """Return that our item is lost; raise NotYet if we can't see the whole place."""
        slug = sending.target_of(case).slug
        self.find_place(context.platform, slug)
        return events.Rejected(Reason("item_lost", {"what": self.names.noun, "slug": slug}))

    # --- polling ---------------------------------------------------------------------------------

    def poll(self, case: Case, context: TargetContext) -> StepEvents:
        """Ask once whether all sockets are filled; a failed import shows in its session."""
        found = sending.find_session(case, context.platform)
        if found is not None:
            case = yield found
        states = sending.fetch_sessions(case, context.platform)
        failed = next((each for each in states.values() if each.status == "Failed"), None)
        if failed is not None:
            yield events.Rejected(self._import_failed(case, failed))
            return
        try:
            held = self._held_values(case, context)
        except Refused as error:
            if error.status != 404:
                raise
            yield self._item_lost(case, context)
            return
        missing = [
            item
            for item in case.inputs or ()
            if not _is_attached(item, held.get(item.socket), states.get(item.socket), case, context)
        ]
        if missing:
            yield _still_running(case, missing, states, context)
        else:
            yield from _finish_item(case, held, states, context)

    def _import_failed(self, case: Case, session: UploadSession) -> Reason:
        facts = {
            "message": sending.failed_import_text(session),
            "product": self.names.product,
            "url": sending.submission_of(case).url,
        }
        return Reason("item_import_failed", facts)

    def _held_values(self, case: Case, context: TargetContext) -> dict[str, SocketValue]:
        item = context.platform.item(self.kind, sending.submission_of(case).pk)
        return {value.socket.slug: value for value in item.values}


def find_socket(platform: GrandChallenge, slug: str) -> Socket:
    """Given a slug, return the socket; raise CannotSend (`unknown_socket`) if there is none."""
    found = platform.socket(slug)
    if found is None:
        raise CannotSend(Reason("unknown_socket", {"socket": slug}))
    return found


def _is_used(case: Case, context: TargetContext) -> bool:
    """Whether a session was used, so that the call that fills the item had its effect."""
    found = sending.fetch_sessions(case, context.platform).values()
    return any(session.status != "Queued" for session in found)


def _look_for_effect(
    case: Case, attempt: Attempt, context: TargetContext
) -> Generator[Event, Case, tuple[bool, Case]]:
    """Find out whether the call that fills the item had its effect after its reply was lost.

    If that is not certain, the call may be repeated: a socket's content then replaces itself
    (platform 10.1). Raise NotYet while two imports of it could run at the same time.
    """
    hidden = sending.find_session(case, context.platform)
    if hidden is not None:
        case = yield hidden
    if _is_used(case, context) or _is_consumed(case, context):
        return True, case
    if any(not case.sessions.get(item.socket) for item in _imported_inputs(case)):
        sending.wait_out_doubt(attempt, context)
    return False, case


def _imported_inputs(case: Case) -> list[Input]:
    return [item for item in sending.uploaded_inputs(case) if item.carrier in {"image", "dicom"}]


def _is_consumed(case: Case, context: TargetContext) -> bool:
    """Whether an upload outside our sessions was used; it is too young to have expired."""
    mine = [item for item in sending.uploaded_inputs(case) if not case.sessions.get(item.socket)]
    return not all(sending.uploads_exist(case, item, context.platform) for item in mine)


def _used_or_expired(case: Case, context: TargetContext, *, in_doubt: bool) -> Event:
    """Return the event if the call's inputs no longer exist: an earlier call used them, or not."""
    platform = context.platform
    if in_doubt and (_is_used(case, context) or _is_consumed(case, context)):
        return events.ItemFilled()
    if not all(
        sending.uploads_exist(case, item, platform) for item in sending.uploaded_inputs(case)
    ):
        return events.UploadsExpired()
    reused = ", ".join(item.socket for item in case.inputs or () if item.image)
    problem = "this account can't see it on the platform"
    return events.Rejected(Reason("no_such_image", {"socket": reused, "problem": problem}))


def _is_attached(
    item: Input,
    held: SocketValue | None,
    session: UploadSession | None,
    case: Case,
    context: TargetContext,
) -> bool:
    """Whether a socket has the content that we sent, not that of an earlier round."""
    if held is None:
        return False
    if item.image:
        return held.image is not None and pk_of(held.image) == pk_of(item.image)
    if item.carrier in {"value", "file"}:
        return sending.has_our_content(item, held, case)
    if held.image is None:
        return False
    if item.carrier == "dicom":
        return context.platform.image(held.image).name == sending.image_name(case, item)
    if session is None:  # the platform created none; after the import the upload no longer exists
        before = case.attempt.images if case.attempt else ()
        return held.image not in before and not sending.uploads_exist(case, item, context.platform)
    return session.status == "Succeeded" and pk_of(held.image) in map(pk_of, session.image_set)


def _finish_item(
    case: Case,
    held: Mapping[str, SocketValue],
    states: Mapping[str, UploadSession],
    context: TargetContext,
) -> StepEvents:
    sent = [item.socket for item in case.inputs or ()]
    images = {slug: held[slug].image or "" for slug in sent if held[slug].image}
    for event in sending.import_events(case, states, images, context):
        case = yield event
    if case.failure is None:
        yield events.Succeeded((), images)


def _still_running(
    case: Case, missing: list[Input], states: Mapping[str, UploadSession], context: TargetContext
) -> events.StillRunning:
    """Return the status to record: files and DICOM image sets have no status of their own."""
    busy = any(session.status != "Succeeded" for session in states.values())
    age = context.clock() - sending.submission_of(case).submitted
    limit = (
        FILE_LIMIT_SECONDS
        if all(item.carrier == "file" for item in missing)
        else IMPORT_LIMIT_SECONDS
    )
    return events.StillRunning("Re-Queued" if busy else "Validating inputs", stalled=age > limit)
