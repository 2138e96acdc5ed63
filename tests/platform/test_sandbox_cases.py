"""The sandbox's reader studies and archives: rules, rights, and how values get into cases."""

import base64
import hashlib
import json
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.sandbox_user import SandboxUser, mha, patient, zipped

from gcwatch.sandbox import Settings

LINK_DEAD = "Invalid hyperlink - Object does not exist."
UNKNOWN = "00000000-0000-4000-8000-000000000000"
SETS, ITEMS = "reader-studies/display-sets/", "archives/items/"
ANSWERED = "This display set cannot be changed, as answers for it already exist."
DENIED = {"detail": "You do not have permission to perform this action."}
KINDS = ["display set", "item"]


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


@pytest.fixture
def bob(sandbox):
    with SandboxUser(sandbox, sandbox.bob_token) as user:
        yield user


class Cases:
    """One of the two kinds of cases, for tests of what they have in common."""

    def __init__(self, kind, user):
        self.user = user
        self.is_set = kind == "display set"
        self.path = SETS if self.is_set else ITEMS
        self.owner = "reader_study" if self.is_set else "archive"
        self.slug = "lung-study" if self.is_set else "ct-archive"

    def parent(self):
        return self.slug if self.is_set else archive(self.user, self.slug)["api_url"]

    def post(self, **data):
        return self.user.call("POST", self.path, {self.owner: self.parent(), **data})

    def make(self, **data):
        return self.user.make(self.path, {self.owner: self.parent(), **data})["pk"]

    def patch(self, pk, *values, method="PATCH", **data):
        body = {"values": list(values), **data} if values else data
        return self.user.call(method, f"{self.path}{pk}/", body)

    def filled(self, *values):
        pk = self.make()
        assert self.patch(pk, *values).status_code == 200
        return pk

    def tell(self, pk):
        return self.user.tell(f"{self.path}{pk}/")

    def values(self, pk):
        return {each["interface"]["slug"]: each for each in self.tell(pk)["values"]}


@pytest.fixture(params=KINDS)
def cases(request, alice):
    return Cases(request.param, alice)


def refusal(reply):
    return reply.status_code, reply.json()


def archive(user, slug="ct-archive"):
    (found,) = user.tell(f"archives/?slug={slug}")["results"]
    return found


def study(user, slug="lung-study"):
    (found,) = user.tell(f"reader-studies/?slug={slug}")["results"]
    return found


def value(socket, given):
    return {"interface": socket, "value": given}


def image(socket, *uploads):
    return {"interface": socket, "user_uploads": list(uploads)}


# Who sees what


def test_editor_reader_uploader_and_public_see(alice):
    """Each role sees; what nobody may see is in no list."""
    slugs = [each["slug"] for each in alice.tell("reader-studies/")["results"]]
    assert slugs == ["lung-study", "second-study", "readers-only"]
    titles = [each["title"] for each in alice.tell("archives/")["results"]]
    assert titles == [
        "Ct archive",
        "Second archive",
        "Uploads only",
        "Public archive",
        "Restricted",
    ]


def test_details_are_found_by_pk(alice, bob):
    """What is seen has a detail; to others it is missing."""
    for path in (archive(alice)["api_url"], study(alice)["api_url"]):
        assert alice.tell(path)["api_url"] == path
        assert bob.call("GET", path).status_code == 404


def test_links_for_people_are_told(sandbox, alice):
    """`url` is a page, `api_url` is not."""
    site = sandbox.url.removesuffix("/api/v1/")
    assert archive(alice)["url"] == f"{site}/archives/ct-archive/"
    assert study(alice)["url"] == f"{site}/reader-studies/lung-study/"


def test_public_archive_is_seen_by_all_who_sign_in(sandbox, bob):
    """Its items and images too; but not without a token, and nobody of them may change it."""
    pk = sandbox.add_item("public-archive", "p", {"ct-image": mha(1, 2)})
    (held,) = bob.tell(f"{ITEMS}{pk}/")["values"]
    media = bob.tell(held["image"])["files"][0]["file"]
    assert bob.download(media).status_code == 200
    assert bob.tell(ITEMS)["count"] == 1
    assert bob.tell(ITEMS, headers={})["count"] == 0
    assert bob.call("GET", held["image"], headers={}).status_code == 404
    assert bob.call("GET", media, headers={}).status_code == 403
    assert refusal(bob.call("PATCH", f"{ITEMS}{pk}/", {"title": "x"})) == (403, DENIED)


def test_image_of_a_private_case_is_its_members(sandbox, alice, bob):
    """Files and images of a case are seen by whoever sees the case."""
    pk = sandbox.add_item("ct-archive", "p", {"ct-image": mha(1), "letter": b"%PDF-1"})
    held = {each["interface"]["slug"]: each for each in alice.tell(f"{ITEMS}{pk}/")["values"]}
    pdf = held["letter"]["file"]
    picture = alice.tell(held["ct-image"]["image"])["files"][0]["file"]
    assert alice.download(pdf).content == b"%PDF-1"
    assert [bob.call("GET", each).status_code for each in (pdf, picture)] == [404, 403]
    assert bob.call("GET", held["ct-image"]["image"]).status_code == 404


def test_rights_can_be_lost_and_regained(sandbox, alice):
    """A member who is put out sees nothing any more; everything is there when they return."""
    sandbox.add_item("ct-archive", "p")
    link = archive(alice)["api_url"]
    sandbox.revoke("ct-archive")
    assert alice.tell("archives/?slug=ct-archive")["count"] == 0
    assert alice.call("GET", link).status_code == 404
    assert alice.tell(ITEMS)["count"] == 0
    sandbox.restore("ct-archive")
    assert alice.tell(ITEMS)["count"] == 1


def test_right_to_run_can_be_lost(sandbox, alice):
    """An algorithm too can be taken from somebody."""
    link = alice.algorithm()
    sandbox.revoke("copy-image")
    assert alice.tell("algorithms/?slug=copy-image")["count"] == 0
    reply = alice.call("POST", "algorithms/jobs/", {"algorithm": link, "inputs": []})
    assert refusal(reply) == (400, {"algorithm": [LINK_DEAD]})


# Making cases


def test_new_case_has_a_title_and_no_values(cases):
    """The answer names the parent as the request did; a read names it by URL."""
    reply = cases.post(title="  p 1\n")
    made = reply.json()
    assert (reply.status_code, made["title"], made["values"]) == (201, "p 1", [])
    assert made[cases.owner] == cases.parent()
    link = study(cases.user)["api_url"] if cases.is_set else cases.parent()
    assert cases.tell(made["pk"])[cases.owner] == link


def test_title_is_unique_where_there_is_one(cases):
    """The same title again is refused, in other parents it is not; no title may repeat."""
    assert cases.post(title="p").status_code == 201
    problem = f"The fields title, {cases.owner} must make a unique set."
    assert refusal(cases.post(title=" p ")) == (400, {"non_field_errors": [problem]})
    assert cases.post(title="P").status_code == 201
    assert [cases.post(**data).status_code for data in ({}, {}, {"title": " "})] == [201] * 3
    cases.slug = "second-study" if cases.is_set else "second-archive"
    assert cases.post(title="p").status_code == 201


def test_title_cannot_become_a_taken_one(cases):
    """A new title must be free; the old one is."""
    first, second = cases.make(title="a"), cases.make(title="b")
    assert cases.patch(second, title="a").status_code == 400
    assert cases.patch(first, title="a").status_code == 200
    assert cases.patch(second, title="c").json()["title"] == "c"


def test_loser_of_a_race_gets_html(sandbox, cases):
    """With the knob a second create of a title is a 500, and one case exists."""
    sandbox.configure(race=True)
    with ThreadPoolExecutor(2) as pool:
        codes = [each.status_code for each in pool.map(lambda _: cases.post(title="p"), range(2))]
    assert sorted(codes) == [201, 500]
    assert cases.user.tell(cases.path)["count"] == 1


@pytest.mark.parametrize(
    ("title", "problem"),
    [
        (None, "This field may not be null."),
        ("x" * 256, "Ensure this field has no more than 255 characters."),
        (["p"], "Not a valid string."),
        (True, "Not a valid string."),
        ("a\0b", "Null characters are not allowed."),
    ],
)
def test_bad_titles_are_refused(cases, title, problem):
    """In the platform's words, alike when creating and changing."""
    pk = cases.make()
    assert refusal(cases.post(title=title)) == (400, {"title": [problem]})
    assert refusal(cases.patch(pk, title=title)) == (400, {"title": [problem]})


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        (None, "This field may not be null."),
        ("first", "A valid integer is required."),
        (True, "A valid integer is required."),
        (-1, "Ensure this value is greater than or equal to 0."),
        (2**31, "Ensure this value is less than or equal to 2147483647."),
    ],
)
def test_bad_orders_are_refused(alice, order, problem):
    """An order is a natural number of 31 bits."""
    data = {"reader_study": "lung-study", "order": order}
    assert refusal(alice.call("POST", SETS, data)) == (400, {"order": [problem]})


def test_values_only_come_by_update(cases):
    """A create with values is refused with a bare list, and makes nothing."""
    reply = cases.post(values=[value("threshold", 1.5)])
    assert refusal(reply) == (400, ["Values can only be added via update"])
    assert cases.post(values=[]).status_code == 201
    assert cases.user.tell(cases.path)["count"] == 1


@pytest.mark.parametrize("slug", ["readers-only", "hidden-study", "nope"])
def test_study_that_is_not_edited_is_unknown(alice, slug):
    """The right to see does not show in the answer to a create."""
    reply = alice.call("POST", SETS, {"reader_study": slug})
    problem = f"Object with slug={slug} does not exist."
    assert refusal(reply) == (400, {"reader_study": [problem]})


def test_archive_is_named_by_its_url(alice):
    """A slug is no URL; an archive that is only seen is unknown."""
    reply = alice.call("POST", ITEMS, {"archive": "ct-archive"})
    assert refusal(reply) == (400, {"archive": ["Invalid hyperlink - No URL match."]})
    public = archive(alice, "public-archive")["api_url"]
    reply = alice.call("POST", ITEMS, {"archive": public})
    assert refusal(reply) == (400, {"archive": [LINK_DEAD]})


@pytest.mark.parametrize("kind", KINDS)
def test_parent_is_required(alice, kind):
    """A case belongs to something."""
    cases = Cases(kind, alice)
    reply = alice.call("POST", cases.path, {"title": "p"})
    assert refusal(reply) == (400, {cases.owner: ["This field is required."]})


def test_uploader_makes_and_changes_items(sandbox, alice):
    """An uploader may do with items what an editor may, their own or not."""
    pk = sandbox.add_item("uploads-only", "theirs")
    cases = Cases("item", alice)
    cases.slug = "uploads-only"
    assert cases.post(title="mine").status_code == 201
    assert cases.patch(pk, value("threshold", 2.0)).status_code == 200


def test_reader_may_look_but_not_touch(sandbox, alice, bob):
    """A reader's change is 403; for who sees nothing it is 404."""
    pk = sandbox.add_display_set("readers-only", "p")
    assert alice.tell(f"{SETS}{pk}/")["title_safe"] == "p"
    assert refusal(alice.call("PATCH", f"{SETS}{pk}/", {"title": "x"})) == (403, DENIED)
    reply = bob.call("PATCH", f"{SETS}{pk}/", {"title": "x"})
    assert refusal(reply) == (404, {"detail": "No DisplaySet matches the given query."})


def test_nothing_is_deleted_over_the_api(sandbox, alice):
    """For display sets there is no such verb; for items no right."""
    case, item = sandbox.add_display_set("lung-study", "p"), sandbox.add_item("ct-archive", "p")
    reply = alice.call("DELETE", f"{SETS}{case}/")
    assert refusal(reply) == (405, {"detail": 'Method "DELETE" not allowed.'})
    assert refusal(alice.call("DELETE", f"{ITEMS}{item}/")) == (403, DENIED)


# Probes: what rights somebody has, found out without doing anything


@pytest.mark.parametrize(
    ("slug", "problem"),
    [("lung-study", None), ("readers-only", "Object with slug=readers-only does not exist.")],
)
def test_null_title_tells_an_editor_from_a_reader(sandbox, alice, slug, problem):
    """All that is wrong with the fields is told together, and nothing is made."""
    status, told = refusal(alice.call("POST", SETS, {"reader_study": slug, "title": None}))
    wrong = {"reader_study": [problem]} if problem else {}
    assert (status, told) == (400, {"title": ["This field may not be null."], **wrong})
    assert sandbox.state()["counts"]["display_sets"] == 0


@pytest.mark.parametrize(
    ("slug", "problem"),
    [("ct-archive", None), ("uploads-only", None), ("public-archive", LINK_DEAD)],
)
def test_null_title_tells_an_uploader_from_a_user(sandbox, alice, slug, problem):
    """The same with archives."""
    link = archive(alice, slug)["api_url"]
    status, told = refusal(alice.call("POST", ITEMS, {"archive": link, "title": None}))
    wrong = {"archive": [problem]} if problem else {}
    assert (status, told) == (400, {"title": ["This field may not be null."], **wrong})
    assert sandbox.state()["counts"]["items"] == 0


@pytest.mark.parametrize(("slug", "problem"), [("copy-image", None), ("forbidden", LINK_DEAD)])
def test_job_without_inputs_tells_who_may_run_from_who_may_look(alice, slug, problem):
    """The same with jobs."""
    link = alice.algorithm(slug)
    status, told = refusal(alice.call("POST", "algorithms/jobs/", {"algorithm": link}))
    wrong = {"algorithm": [problem]} if problem else {}
    assert (status, told) == (400, {"inputs": ["This field is required."], **wrong})


# Lists


def test_display_sets_come_in_order(alice):
    """By order, then age; an order that is not given is the highest and ten more."""
    for data in ({"title": "b"}, {"title": "a", "order": 5}, {"title": "c"}, {"order": 20}):
        alice.make(SETS, {"reader_study": "lung-study", **data})
    rows = alice.tell(f"{SETS}?reader_study={study(alice)['pk']}")["results"]
    places = [(each["title_safe"], each["order"], each["index"]) for each in rows]
    assert places == [("a", 5, 0), ("b", 10, 1), ("c", 20, 2), ("", 20, 3)]


def test_order_can_be_changed(alice):
    """A PATCH moves a display set; with 0 to the end."""
    first, second = (alice.make(SETS, {"reader_study": "lung-study"})["pk"] for _ in range(2))
    moved = alice.call("PATCH", f"{SETS}{first}/", {"order": 30}).json()
    assert (moved["order"], moved["index"]) == (30, 1)
    moved = alice.call("PATCH", f"{SETS}{second}/", {"order": 0}).json()
    assert (moved["order"], moved["index"]) == (40, 1)


def test_cases_are_filtered_by_parent_and_by_nothing_else(cases):
    """Other parameters are ignored; a parent that does not exist is an error."""
    cases.make(title="a")
    cases.slug = "second-study" if cases.is_set else "second-archive"
    cases.make(title="b")
    owner = study(cases.user, cases.slug) if cases.is_set else archive(cases.user, cases.slug)
    (found,) = cases.user.tell(f"{cases.path}?{cases.owner}={owner['pk']}&title=a")["results"]
    assert (
        found["pk"]
        == cases.user.tell(f"{cases.path}?{cases.owner}={owner['pk']}")["results"][0]["pk"]
    )
    for pk, problem in (
        ("nope", "“nope” is not a valid UUID."),
        (UNKNOWN, "Select a valid choice. That choice is not one of the available choices."),
    ):
        reply = cases.user.call("GET", f"{cases.path}?{cases.owner}={pk}")
        assert refusal(reply) == (400, {cases.owner: [problem]})


def test_pages_of_items_repeat_and_skip(sandbox, alice):
    """A client that trusts page boundaries loses items; one full page, or another pass, has all."""
    for number in range(30):
        sandbox.add_item("ct-archive", str(number))

    def passed():
        pages = [alice.tell(f"{ITEMS}?limit=10&offset={offset}") for offset in (0, 10, 20)]
        return {row["pk"] for each in pages for row in each["results"]}

    passes = [passed() for _ in range(20)]
    assert min(len(each) for each in passes) < 30
    assert len(set.union(*passes)) == 30
    assert len(alice.tell(f"{ITEMS}?limit=1000")["results"]) == 30


@pytest.mark.parametrize("schema", ["2025-11", "2026-07"])
def test_titles_on_reads_follow_the_schema(sandbox, alice, schema):
    """Since 2026 a display set that is read has only its cleaned title; an item has its own."""
    sandbox.configure(schema=schema)
    given = "<b>p</b> & q < r &amp;"
    made = alice.make(SETS, {"reader_study": "lung-study", "title": given})
    read = alice.tell(made["api_url"])
    assert made["title"] == given
    assert read["title_safe"] == made["title_safe"] == "p &amp; q &lt; r &amp;"
    assert read.get("title") == (given if schema == "2025-11" else None)
    item = alice.make(ITEMS, {"archive": archive(alice)["api_url"], "title": given})
    assert alice.tell(f"{ITEMS}{item['pk']}/")["title"] == given


# Changing cases


def test_update_sets_sockets_and_keeps_others(cases):
    """PATCH changes what it names, PUT removes the rest; the last of two is taken."""
    pk = cases.filled(value("threshold", 1.5), value("results-json-file", {"a": 1}))
    assert {slug: each["value"] for slug, each in cases.values(pk).items()} == {
        "threshold": 1.5,
        "results-json-file": {"a": 1},
    }
    changed = cases.patch(pk, value("threshold", 2), value("threshold", 3)).json()["values"]
    assert {each["interface"]: each["value"] for each in changed} == {
        "threshold": 3,
        "results-json-file": {"a": 1},
    }
    reply = cases.patch(
        pk, value("threshold", 4), method="PUT", **{cases.owner: cases.parent(), "title": "p"}
    )
    assert reply.status_code == 200
    assert {slug: each["value"] for slug, each in cases.values(pk).items()} == {"threshold": 4}


def test_put_needs_its_parent(cases):
    """PUT is whole."""
    reply = cases.patch(cases.make(), method="PUT", title="p")
    assert refusal(reply) == (400, {cases.owner: ["This field is required."]})


def test_equal_value_keeps_its_pk_and_another_has_its_own(cases):
    """A value's pk is its content's identity."""
    pk = cases.filled(value("threshold", 1.5))
    first = cases.values(pk)["threshold"]["pk"]
    cases.patch(pk, value("threshold", 2.5))
    assert cases.values(pk)["threshold"]["pk"] != first
    cases.patch(pk, value("threshold", 1.5))
    assert cases.values(pk)["threshold"]["pk"] == first


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (value("nope", 1), {"interface": ["Object with slug=nope does not exist."]}),
        (
            value("threshold", "x"),
            {"__all__": ["JSON does not fulfill schema: instance 'x' is not of type 'number'"]},
        ),
        (
            value("threshold", None),
            {"non_field_errors": ["value is required for interface kind FLT"]},
        ),
        (
            image("ct-image", f"/api/v1/uploads/{UNKNOWN}/"),
            {"user_uploads": [LINK_DEAD]},
        ),
        (
            {"interface": "ct-image", "image": f"/api/v1/cases/images/{UNKNOWN}/"},
            {"image": [LINK_DEAD]},
        ),
        (
            {"interface": "letter", "user_upload": f"/api/v1/uploads/{UNKNOWN}/"},
            {"user_upload": [LINK_DEAD]},
        ),
    ],
)
def test_one_wrong_value_changes_nothing(cases, given, problem):
    """Errors stand at the place of what they are about; the rest is not done either."""
    pk = cases.filled(value("threshold", 1.5))
    reply = cases.patch(pk, value("results-json-file", 1), given, title="new")
    assert refusal(reply) == (400, {"values": [{}, problem]})
    assert [*cases.values(pk)] == ["threshold"]
    assert cases.tell(pk)["title_safe" if cases.is_set else "title"] == ""


def test_fields_and_values_are_refused_together(cases):
    """A title and a value that are wrong are told in one answer."""
    reply = cases.patch(cases.make(), value("nope", 1), title=None)
    assert set(reply.json()) == {"title", "values"}


def test_values_must_be_a_list(cases):
    """As inputs must."""
    problem = 'Expected a list of items but got type "str".'
    path = f"{cases.path}{cases.make()}/"
    reply = cases.user.call("PATCH", path, {"values": "x"})
    assert refusal(reply) == (400, {"values": {"non_field_errors": [problem]}})
    reply = cases.user.call("PATCH", path, {"values": None})
    assert refusal(reply) == (400, {"values": ["This field may not be null."]})


def test_answered_display_set_cannot_be_changed(sandbox, alice):
    """Neither its values nor its title, once somebody has answered."""
    cases = Cases("display set", alice)
    pk = cases.filled(value("threshold", 1.5))
    sandbox.add_answer(pk)
    assert refusal(cases.patch(pk, value("threshold", 2))) == (400, [ANSWERED])
    assert refusal(cases.patch(pk, title="x")) == (400, [ANSWERED])
    assert cases.values(pk)["threshold"]["value"] == 1.5


def test_answer_before_the_import_fails_it(sandbox, alice):
    """A case that is answered in between stays as it is, for images and files alike."""
    sandbox.configure(import_seconds=1000)
    cases = Cases("display set", alice)
    session = alice.session(alice.upload(mha(1)))
    letter = alice.upload(b"%PDF-1", "l.pdf")
    pk = cases.filled(
        {"interface": "ct-image", "upload_session": session["api_url"]},
        {"interface": "letter", "user_upload": letter},
    )
    sandbox.add_answer(pk)
    sandbox.advance(2000)
    assert alice.tell(session["api_url"])["error_message"] == (
        "Image validation for socket CT Image failed with error: An unexpected error occurred."
    )
    assert cases.values(pk) == {}


def test_archive_of_a_phase_allows_its_sockets_only(alice):
    """Another socket is refused with a bare list; the allowed one is taken."""
    cases = Cases("item", alice)
    cases.slug = "restricted"
    pk = cases.make()
    reply = cases.patch(pk, value("threshold", 1.5))
    assert refusal(reply) == (400, ["Socket 'threshold' is not allowed for this archive."])
    assert cases.patch(pk, image("ct-image", alice.upload(mha(1)))).status_code == 200


# How values come


def test_image_comes_after_its_import(sandbox, cases):
    """The answer has no image; the session tells; then the image is there, and its upload gone."""
    sandbox.configure(import_seconds=1000)
    upload = cases.user.upload(mha(1, 2, 3), "p.mha")
    session = cases.user.session(upload)["api_url"]
    pk = cases.make()
    given = {"interface": "ct-image", "upload_session": session}
    reply = cases.patch(pk, given)
    assert (reply.status_code, reply.json()["values"]) == (200, [])
    assert cases.user.tell(session)["status"] == "Re-Queued"
    again = cases.patch(pk, given)
    assert refusal(again) == (400, {"values": [{"upload_session": [LINK_DEAD]}]})
    sandbox.advance(1100)
    imported = cases.user.tell(session)
    assert (imported["status"], cases.values(pk)) == ("Succeeded", {})
    assert cases.user.call("GET", upload).status_code == 404
    sandbox.advance(200)
    held = cases.values(pk)["ct-image"]
    assert [held["image"]] == imported["image_set"]
    assert cases.user.tell(held["image"])["name"] == "p.mha"


def test_uploads_make_a_session_of_their_own(sandbox, cases):
    """It is found by the uploads it holds, while it holds them."""
    sandbox.configure(import_seconds=1000)
    upload = cases.user.upload(mha(1))
    pk = cases.filled(image("ct-image", upload))
    (session,) = cases.user.tell("cases/upload-sessions/")["results"]
    assert session["uploads"] == [upload]
    sandbox.advance(2000)
    assert cases.user.tell(session["api_url"])["uploads"] == []
    assert set(cases.values(pk)) == {"ct-image"}


def test_repeated_update_with_uploads_is_harmless(sandbox, cases):
    """The second session finds no files and fails; the image is there once."""
    sandbox.configure(import_seconds=1000)
    given = image("ct-image", cases.user.upload(mha(1)))
    pk = cases.filled(given)
    cases.patch(pk, given)
    sandbox.advance(2000)
    rows = cases.user.tell("cases/upload-sessions/")["results"]
    assert sorted(each["status"] for each in rows) == ["Failed", "Succeeded"]
    assert set(cases.values(pk)) == {"ct-image"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"garbage", "1 file could not be imported"),
        (zipped(patient("98892003/MR1")), "Image imports should result in a single image"),
    ],
)
def test_failed_import_leaves_the_case_and_another_may_fill_it(cases, content, reason):
    """A failure shows nowhere in the case; the session has the reason."""
    session = cases.user.session(cases.user.upload(content))
    pk = cases.filled({"interface": "ct-image", "upload_session": session["api_url"]})
    assert cases.values(pk) == {}
    assert cases.user.tell(session["api_url"])["error_message"] == (
        f"Image validation for socket CT Image failed with error: {reason}."
    )
    cases.patch(pk, image("ct-image", cases.user.upload(mha(1))))
    assert set(cases.values(pk)) == {"ct-image"}


def test_replaced_image_is_gone(cases):
    """A new image is a new value, and the old image is nobody's; unless it is used elsewhere."""
    pk = cases.filled(image("ct-image", cases.user.upload(mha(1))))
    old = cases.values(pk)["ct-image"]
    cases.patch(pk, image("ct-image", cases.user.upload(mha(2))))
    new = cases.values(pk)["ct-image"]
    assert new["pk"] != old["pk"]
    assert cases.user.call("GET", old["image"]).status_code == 404
    other = cases.filled({"interface": "pet-image", "image": new["image"]})
    cases.patch(pk, image("ct-image", cases.user.upload(mha(3))))
    assert cases.user.call("GET", new["image"]).status_code == 200
    assert cases.values(other)["pet-image"]["image"] == new["image"]


def test_existing_image_is_there_at_once(cases):
    """An image that the user sees goes into another case without an import."""
    first = cases.values(cases.filled(image("ct-image", cases.user.upload(mha(1)))))["ct-image"]
    reply = cases.patch(cases.make(), {"interface": "ct-image", "image": first["image"]})
    (told,) = reply.json()["values"]
    assert (told["interface"], told["image"]) == ("ct-image", first["image"])


def test_job_takes_the_image_of_a_case(sandbox, alice):
    """An archive's image is an input; the job's output goes into a reader study."""
    pk = sandbox.add_item("ct-archive", "p", {"ct-image": mha(1, 5, 9)})
    (held,) = alice.tell(f"{ITEMS}{pk}/")["values"]
    job = alice.job(
        alice.start("threshold", ct_image={"image": held["image"]}, threshold={"value": 4})
    )
    mask = {each["interface"]["slug"]: each for each in job["outputs"]}["segmentation"]["image"]
    cases = Cases("display set", alice)
    shown = cases.filled(
        {"interface": "ct-image", "image": held["image"]},
        {"interface": "segmentation", "image": mask},
    )
    assert set(cases.values(shown)) == {"ct-image", "segmentation"}


def test_file_comes_after_its_task(sandbox, cases):
    """A file is copied byte for byte, later than the answer, and its upload is gone then."""
    sandbox.configure(import_seconds=1000)
    upload = cases.user.upload(b"%PDF-1.4 x", "my letter (1).pdf")
    pk = cases.filled({"interface": "letter", "user_upload": upload})
    assert cases.values(pk) == {}
    sandbox.advance(1000)
    held = cases.values(pk)["letter"]
    assert held["file"].endswith("/my_letter_1.pdf")
    assert cases.user.download(held["file"]).content == b"%PDF-1.4 x"
    assert cases.user.call("GET", upload).status_code == 404


def test_bad_json_file_never_comes(cases):
    """Nothing shows; the upload stays."""
    upload = cases.user.upload(b"{", "info.json")
    pk = cases.filled({"interface": "clinical-info", "user_upload": upload})
    assert cases.values(pk) == {}
    assert cases.user.call("GET", upload).status_code == 200


def test_repeated_file_update_is_refused_once_it_was_taken(cases):
    """The upload is consumed by the first."""
    given = {"interface": "letter", "user_upload": cases.user.upload(b"%PDF-", "l.pdf")}
    pk = cases.filled(given)
    assert refusal(cases.patch(pk, given)) == (400, {"values": [{"user_upload": [LINK_DEAD]}]})
    assert set(cases.values(pk)) == {"letter"}


# Sessions with a target


def test_session_for_an_archive_makes_an_untitled_item_an_image(sandbox, alice):
    """Its answer still says Queued; two images are two items."""
    uploads = [alice.upload(mha(each), f"{each}.mha") for each in (1, 2)]
    data = {"uploads": uploads, "archive": "uploads-only", "interface": "ct-image"}
    made = alice.make("cases/upload-sessions/", data)
    assert made["status"] == "Queued"
    assert alice.tell(made["api_url"])["status"] == "Succeeded"
    rows = sandbox.state()["items"]
    assert [(each["archive"], each["title"]) for each in rows] == [("uploads-only", "")] * 2
    assert [each["values"][0]["socket"] for each in rows] == ["ct-image"] * 2


def test_session_for_an_archive_fails_in_few_words(alice):
    """No socket is named in its error."""
    data = {"uploads": [alice.upload(b"garbage")], "archive": "ct-archive"}
    session = alice.tell(alice.make("cases/upload-sessions/", data)["api_url"])
    assert (session["status"], session["error_message"]) == (
        "Failed",
        "1 file could not be imported",
    )


def test_session_for_a_case_fills_its_socket(cases):
    """The import begins at once, and ends in the socket that was named."""
    pk = cases.make()
    key = "display_set" if cases.is_set else "archive_item"
    data = {"uploads": [cases.user.upload(mha(1))], key: pk, "interface": "pet-image"}
    cases.user.make("cases/upload-sessions/", data)
    assert set(cases.values(pk)) == {"pet-image"}


@pytest.mark.parametrize(
    ("target", "errors"),
    [
        ({"archive": "public-archive"}, {"archive"}),
        ({"archive_item": UNKNOWN, "interface": "ct-image"}, {"archive_item"}),
        ({"display_set": UNKNOWN, "interface": "ct-image"}, {"display_set"}),
        ({"answer": UNKNOWN, "interface": "ct-image"}, {"answer"}),
        ({"archive": "ct-archive", "interface": "nope"}, {"interface"}),
        ({"interface": "ct-image"}, {"non_field_errors"}),
    ],
)
def test_session_refuses_bad_targets(alice, target, errors):
    """Targets need the right to change them, and sockets need targets."""
    reply = alice.call("POST", "cases/upload-sessions/", {"uploads": [], **target})
    assert (reply.status_code, set(reply.json())) == (400, errors)


def test_session_for_a_case_needs_one_target_and_a_socket(cases):
    """Neither two targets nor no socket."""
    key = "display_set" if cases.is_set else "archive_item"
    data = {"uploads": [], key: cases.make()}
    for more in ({}, {"interface": "ct-image", "archive": "ct-archive"}):
        reply = cases.user.call("POST", "cases/upload-sessions/", {**data, **more})
        assert (reply.status_code, set(reply.json())) == (400, {"non_field_errors"})


# Images of cases


def test_images_are_filtered_by_archive_and_study(sandbox, alice):
    """Each filter gives the images of what it names; wrong pks are errors."""
    sandbox.add_item("ct-archive", "p", {"ct-image": ("a.mha", mha(1))})
    sandbox.add_display_set("lung-study", "p", {"ct-image": ("b.mha", mha(2))})
    queries = {
        f"archive={archive(alice)['pk']}": ["a.mha"],
        f"reader_study={study(alice)['pk']}": ["b.mha"],
        "name=b.mha": ["b.mha"],
        "": ["a.mha", "b.mha"],
    }
    for query, names in queries.items():
        rows = alice.tell(f"cases/images/?{query}")["results"]
        assert [each["name"] for each in rows] == names
    for key in ("archive", "reader_study"):
        assert alice.call("GET", f"cases/images/?{key}={UNKNOWN}").status_code == 400


def test_origin_finds_the_image_of_a_session(cases):
    """Its image is found by the session that imported it."""
    session = cases.user.session(cases.user.upload(mha(1)))
    cases.filled({"interface": "ct-image", "upload_session": session["api_url"]})
    (found,) = cases.user.tell(f"cases/images/?origin={session['pk']}")["results"]
    assert [found["api_url"]] == cases.user.tell(session["api_url"])["image_set"]


# Seeds and truth


def test_state_tells_what_cases_hold(sandbox):
    """By kind of value; an image by its voxels, whatever file they came in."""
    image_bytes = mha(1, 2, 3)
    pk = sandbox.add_item(
        "ct-archive",
        "p",
        {"ct-image": image_bytes, "threshold": 1.5, "letter": ("l.pdf", b"%PDF-1")},
    )
    sandbox.add_display_set("lung-study", "p", {"pet-image": zipped({"x.mha": image_bytes})})
    state = sandbox.state()
    (item,) = state["items"]
    assert (item["pk"], item["archive"], item["title"]) == (pk, "ct-archive", "p")
    ct, letter, threshold = item["values"]
    voxels = hashlib.sha256(struct.pack("<3h", 1, 2, 3)).hexdigest()
    assert (ct["socket"], ct["kind"], ct["voxels"]) == ("ct-image", "Image", voxels)
    assert letter["sha256"] == hashlib.sha256(b"%PDF-1").hexdigest()
    assert (threshold["kind"], threshold["value"]) == ("Value", 1.5)
    (case,) = state["display_sets"]
    assert (case["reader_study"], case["order"], case["answers"]) == ("lung-study", 10, 0)
    assert case["values"][0]["voxels"] == voxels
    assert (state["counts"]["items"], state["counts"]["display_sets"]) == (1, 1)


def test_seeds_can_be_sown_from_outside(sandbox, tmp_path):
    """Bytes go as base64 or as paths; an item can be taken away again."""

    def control(name, **arguments):
        return requests.post(sandbox.control + name, json=arguments, timeout=60)

    letter = {"base64": base64.b64encode(b"%PDF-1").decode(), "name": "l.pdf"}
    (tmp_path / "p.mha").write_bytes(mha(1))
    picture = {"path": str(tmp_path / "p.mha")}
    values = {"letter": letter, "ct-image": picture, "results-json-file": {"base64": 1, "x": 2}}
    reply = control("add_item", archive="ct-archive", title="p", values=values)
    (item,) = sandbox.state()["items"]
    assert (reply.status_code, reply.json()) == (200, item["pk"])
    held = {each["socket"]: each for each in item["values"]}
    assert sandbox.state()["images"][0]["name"] == "p.mha"
    assert held["letter"]["sha256"] == hashlib.sha256(b"%PDF-1").hexdigest()
    assert held["results-json-file"]["value"] == {"base64": 1, "x": 2}
    assert control("remove_item", archive="ct-archive", title="p").status_code == 200
    assert sandbox.state()["items"] == []


@pytest.mark.parametrize(
    ("archive_slug", "values"),
    [
        ("nope", {}),
        ("ct-archive", {"nope": 1}),
        ("ct-archive", {"ct-image": b"garbage"}),
        ("ct-archive", {"ct-image": zipped(patient("98892003/MR1"))}),
    ],
)
def test_bad_seeds_are_refused(sandbox, archive_slug, values):
    """What the importer would not make one image of is no seed, and nothing is added."""
    with pytest.raises(ValueError, match=r"nope|images"):
        sandbox.add_item(archive_slug, "p", values)
    assert sandbox.state()["items"] == []


def test_answer_needs_its_display_set(sandbox):
    """An answer is about something."""
    with pytest.raises(ValueError, match="no such display set"):
        sandbox.add_answer(UNKNOWN)
    assert json.dumps(sandbox.state()["settings"]["race"]) == "false"


def test_race_is_off_at_the_start():
    """Nobody races by default."""
    assert Settings().race is False
