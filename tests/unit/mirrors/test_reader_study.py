"""A mirror of a reader study: what readers answered, told as the platform tells it."""

import io
import json
import tracemalloc

import pytest
from rich.console import Console
from support.builders import mha
from support.mirrored import Mirrored
from support.mirrored_study import READER, STUDY, MirroredStudy
from support.sandbox_user import SandboxUser
from support.sandbox_user import mha as bytes_mha

from gcwatch import config
from gcwatch.commands import audit, check
from gcwatch.core.errors import CaseError
from gcwatch.core.tables.answer_rows import FILE_MISSING, MASK_LEFT, MASK_MISSING
from gcwatch.views.mirror_table import mirrors_table

MASK = bytes_mha(0, 1, element="MET_UCHAR", code="B")
DAY = 86400.0


@pytest.fixture
def site(tmp_path, sandbox):
    """A mirror of the sandbox's study."""
    return MirroredStudy(tmp_path / "site", sandbox)


def asked(site):
    """The paths of the calls since they were last forgotten."""
    calls = [call["path"].removeprefix("/api/v1/") for call in site.calls()]
    site.sandbox.forget_calls()
    return calls


def run_later(site, seconds):
    """Run the mirror some time after now."""
    with site.watch() as watch:
        watch._clock = lambda: site.sandbox.platform_state.now() + seconds
        return watch.mirror("cts")


def rows_of(site, question):
    return [row for row in site.rows().values() if row["question"] == question]


# --- the table -----------------------------------------------------------------------------------


def test_the_table_has_what_was_answered_in_words(site):
    """Titles of choices, ground truth apart, scores, times, files; no cell is a formula."""
    add, sandbox = site.sandbox.add_question, site.sandbox
    choice = add(STUDY, "Malignancy", "Choice", options=["benign", "=malignant"])
    several = add(STUDY, "Lobes", "Multiple choice", options=["upper", "lower"])
    item = site.add("case 1", mask=mha(1, 2), where=2.5)
    sandbox.add_answer(item, choice, 2)
    sandbox.add_answer(item, choice, 1, is_ground_truth=True)
    sandbox.add_answer(item, several, [3, 4])
    scored = site.answer(item, b"", mask=None)
    sandbox.platform_state.answers[scored].score = 0.5

    summary = site.run()

    assert (summary.answers, summary.masks_missing, summary.items) == (6, 0, 1)
    told = [
        (row["reader"], row["ground_truth"], row["answer"]) for row in rows_of(site, "Malignancy")
    ]
    assert told == [("alice", "TRUE", "benign"), ("alice", "FALSE", "'=malignant")]
    assert [row["answer"] for row in rows_of(site, "Lobes")] == ["upper; lower"]
    (mask,), (point,) = rows_of(site, "Lung")[:1], rows_of(site, "Where")
    assert mask["file"].startswith(f"case 1/{READER}/Lung/")
    assert mask["answer"] == ""
    assert json.loads((site.outbox / point["file"]).read_bytes())["point"] == [2.5, 0, 0]
    assert site.rows()[scored]["score"] == "0.5"
    assert point["created_utc"][:2] == "20"


def test_the_questions_are_beside_the_table(site):
    """With their kinds and the numbers of their options."""
    site.sandbox.add_question(STUDY, "Side", "Choice", required=True, options=["left", "right"])

    site.run()

    told = json.loads((site.outbox / "questions.json").read_bytes())
    assert [each["text"] for each in told] == ["Lung", "Where", "Remark", "Side"]
    assert told[-1] | {"pk": ""} == {
        "pk": "",
        "text": "Side",
        "kind": "Choice",
        "required": True,
        "options": [{"id": 1, "title": "left"}, {"id": 2, "title": "right"}],
    }


def test_the_folder_that_a_display_set_came_from_is_told(tmp_path, sandbox):
    """Where this gcwatch sent it; of others it is empty."""
    inbox = tmp_path / "site" / "in"
    route = (
        f'[[route]]\nname = "r"\ninbox = "in"\noutbox = "out"\nreader_study = "{STUDY}"\n'
        'settle = "0s"\npoll = "1s"\ninputs = { threshold = { value = 1 } }\n'
    )
    (inbox / "patient-7").mkdir(parents=True)
    (inbox / "patient-7" / "note.txt").write_text("x")
    (tmp_path / "site" / "out").mkdir()
    site = MirroredStudy(tmp_path / "site", sandbox, routes=route)
    site.run_once()
    (sent,) = sandbox.platform_state.display_sets
    site.answer(sent, 1.0)
    site.answer(site.add("by hand"), 2.0)

    site.run()

    told = {row["display_set_pk"] == sent: row["folder"] for row in site.rows().values()}
    assert told == {True: "patient-7", False: ""}


def test_a_table_that_somebody_changed_is_left_alone_and_told(site):
    """Notes that a person made in it are not ours to overwrite; all else goes on."""
    item = site.add("case 1", where=1.0)
    site.run()
    table = site.outbox / "answers.csv"
    table.write_bytes(table.read_bytes() + b"mine\r\n")
    site.answer(item, mha(1))

    with pytest.raises(CaseError) as raised:
        site.run()

    assert raised.value.reason.code == "table_not_written"
    assert table.read_bytes().endswith(b"mine\r\n")
    assert site.receipt("case 1")["outputs"][1]["carrier"] == "image"
    with site.watch() as watch:
        assert watch.mirrors()[0].reason == "table_not_written"
    table.unlink()
    site.run()
    site.check_complete()


def test_no_name_of_a_reader_is_in_the_log(site):
    """Names are in the table and in folders on purpose, and nowhere else."""
    site.add("case 1", mask=mha(1), where=1.0)
    site.sandbox.fault("status", path="cases/images/", times=None, status=404, body="{}")
    site.run()
    site.sandbox.clear_faults()
    site.run()
    assert READER not in (site.folder / "log.jsonl").read_text()


# --- masks ---------------------------------------------------------------------------------------


@pytest.fixture
def reader(site):
    """Somebody who answers over the platform's API."""
    with SandboxUser(site.sandbox) as user:
        yield user


def post_mask(site, reader, content):
    """What a reader's browser does: an empty answer, and a session for it. Return its pk."""
    question = f"{reader.root}reader-studies/questions/{site.questions['Lung']}/"
    case = f"{reader.root}reader-studies/display-sets/{site.add('case 1')}/"
    body = {"question": question, "display_set": case, "answer": None}
    pk = reader.make("reader-studies/answers/", body)["pk"]
    session = {"uploads": [reader.upload(content)], "answer": pk}
    reader.make("cases/upload-sessions/", session)
    return pk


@pytest.mark.parametrize("content", [MASK, b"garbage"], ids=["waiting", "refused"])
def test_a_mask_that_is_not_there_is_told_and_asked_for_again(site, reader, content):
    """Whether it waits or was refused can't be seen; once it is there it is fetched."""
    site.sandbox.configure(import_seconds=1000.0)
    pk = post_mask(site, reader, content)

    for _ in range(2):
        assert site.run().masks_missing == 1
        assert site.rows()[pk]["problem"] == MASK_MISSING
        assert not site.rows()[pk]["file"]
    site.sandbox.advance(2000)
    summary = site.run()

    if content == MASK:
        assert (summary.masks_missing, summary.fetched) == (0, 1)
        site.check_complete()
    else:
        assert (summary.masks_missing, summary.fetched) == (1, 0)
        assert site.rows()[pk]["problem"] == MASK_MISSING


def test_a_mask_that_comes_to_an_old_empty_answer_is_found(site, reader):
    """An empty answer is made before its mask: it is looked at again for a day."""
    body = {
        "question": f"{reader.root}reader-studies/questions/{site.questions['Lung']}/",
        "display_set": f"{reader.root}reader-studies/display-sets/{site.add('case 1')}/",
        "answer": None,
    }
    pk = reader.make("reader-studies/answers/", body)["pk"]
    assert site.run().masks_missing == 0
    assert site.rows()[pk]["problem"] == ""

    reader.make("cases/upload-sessions/", {"uploads": [reader.upload(MASK)], "answer": pk})
    site.run()

    assert site.rows()[pk]["file"].endswith(".mha")


def test_a_mask_whose_answer_was_emptied_is_told(site):
    """The platform keeps its image: it is here, and the table says so."""
    item = site.add("case 1", mask=mha(1))
    (answer,) = site.sandbox.platform_state.answers.values()
    answer.answer = None

    site.run()

    (row,) = site.rows().values()
    assert (row["problem"], row["file"] != "") == (MASK_LEFT, True)
    assert row["display_set_pk"] == item


def test_a_mask_that_cannot_be_fetched_is_told(site):
    """The table is written all the same, and the next run fetches it."""
    site.add("case 1", mask=mha(1))
    site.sandbox.fault("status", path="cases/images/", times=None, status=404, body="{}")

    assert site.run().failed == 1

    (row,) = site.rows().values()
    assert row["problem"] == FILE_MISSING
    site.sandbox.clear_faults()
    assert site.run().fetched == 1
    site.check_complete()


# --- what changed --------------------------------------------------------------------------------


@pytest.fixture
def big(site):
    """A mirror with answers to two display sets, of which all is known."""
    for number in (1, 2):
        site.add(f"case {number}", where=float(number))
    for each in site.sandbox.platform_state.answers.values():
        each.created -= DAY
        each.modified -= DAY
    site.run()
    site.sandbox.forget_calls()
    return site


def test_a_run_without_news_makes_two_calls(big):
    """One for the study with its questions, one for the answers after the last one."""
    summary = big.run()

    assert asked(big) == ["reader-studies/", "reader-studies/answers/"]
    assert (summary.answers, summary.unchanged) == (2, 2)


def test_a_new_answer_costs_the_call_that_brings_it(big):
    """All others are not read again."""
    item = next(iter(big.sandbox.platform_state.display_sets))
    big.answer(item, mha(1, 2))

    assert big.run().changed == 1

    assert asked(big)[:2] == ["reader-studies/", "reader-studies/answers/"]
    big.check_complete()


def test_a_deleted_answer_is_gone_from_table_and_folder(big):
    """Its display set stays, without its file."""
    (first, *_) = big.sandbox.platform_state.answers
    big.sandbox.remove_answer(first)

    assert big.run().changed == 1

    assert len(big.rows()) == 1
    assert (big.outbox / "case 1" / "gcwatch.json").exists()
    assert not [*(big.outbox / "case 1").rglob("*/*.json")]
    assert big.run().unchanged == 2


def test_an_answer_deleted_while_another_comes_is_noticed(big):
    """The number of answers is the same, the last one is not where it was."""
    (first, *_), item = (
        big.sandbox.platform_state.answers,
        next(iter(big.sandbox.platform_state.display_sets)),
    )
    big.sandbox.remove_answer(first)
    big.answer(item, mha(4, 4))

    big.run()

    big.check_complete()


def test_edits_are_seen_at_once_where_readers_may_edit(big):
    """And within a day where the study forbids them by now."""
    (answer, _) = big.sandbox.platform_state.answers.values()
    answer.answer = {**answer.answer, "point": [9, 9, 9]}
    assert big.run().changed == 0
    assert run_later(big, DAY + 60).changed == 1
    big.change(answer.case.pk, where=5.5)
    assert big.run().changed == 1
    big.check_complete()
    big.sandbox.switch_study(STUDY, allow_answer_modification=False)
    answer.answer = {**answer.answer, "point": [8, 8, 8]}
    assert big.run().changed == 1  # it was still allowed when the last run looked


def test_a_question_that_was_changed_is_told_in_its_new_words(big):
    """Its files move along, and none is fetched again that did not change."""
    question = big.sandbox.platform_state.questions[big.questions["Where"]]
    question.text = "Where is it?"

    assert big.run().changed == 2

    assert [row["question"] for row in big.rows().values()] == ["Where is it?"] * 2
    assert all("/Where is it_" in row["file"] for row in big.rows().values())
    big.check_nothing_half_done()


def test_an_editor_who_becomes_a_reader_loses_nothing_here(big):
    """Other readers' answers are out of sight, not deleted: the run ends, and says why."""
    before = big.print(), big.rows()
    study = next(
        each for each in big.sandbox.platform_state.catalogue.reader_studies if each.slug == STUDY
    )
    object.__setattr__(study, "editors", frozenset())
    object.__setattr__(study, "readers", frozenset({"alice"}))
    try:
        with pytest.raises(CaseError) as raised:
            big.run()
    finally:
        object.__setattr__(study, "editors", frozenset({"alice"}))
        object.__setattr__(study, "readers", frozenset())

    assert raised.value.reason.code == "answers_not_seen"
    assert (big.print(), big.rows()) == before


def test_a_reader_gets_the_own_answers(tmp_path, sandbox):
    """Whoever is no editor has a mirror of what they answered themselves."""
    site = MirroredStudy(tmp_path / "site", sandbox, reader_study="readers-only")
    item = site.add("case 1", where=1.0)
    own = site.answer(item, mha(1), username="alice")

    assert site.run().answers == 1

    assert site.rows().keys() == {own}


def test_a_study_that_cannot_be_seen_touches_nothing(big):
    """As for archives: no right, no change."""
    before = big.print(), big.rows()
    big.sandbox.revoke(STUDY)

    with pytest.raises(CaseError) as raised:
        big.run()

    assert raised.value.reason.code == "reader_study_not_found"
    assert (big.print(), big.rows()) == before


def test_long_annotations_come_in_smaller_pages(site, monkeypatch):
    """A page that is larger than any answer may be is asked for in parts."""
    monkeypatch.setattr("gcwatch.platform.http.LARGEST_ANSWER_BYTES", 60_000)
    item = site.add("case 1")
    for number in range(3):
        name = f"r{number}"
        site.sandbox.add_user(name)
        site.answer(item, 1.0, username=name)
    for each in site.sandbox.platform_state.answers.values():
        each.answer = {**each.answer, "name": "n" * 25_000}

    assert site.run().answers == 3

    site.check_nothing_half_done()


def test_what_was_read_may_be_damaged_or_removed(big):
    """The platform has it: all is read again, and nothing is fetched twice."""
    store = big.state / "mirrors" / "cts.answers.sqlite"
    for damage in (lambda: store.write_bytes(b"no database" * 1000), store.unlink):
        damage()

        summary = big.run()

        assert (summary.answers, summary.unchanged, summary.fetched) == (2, 2, 0)


def test_the_audit_compares_without_writing(big):
    """It agrees after a run, names what a reader did since, and changes nothing."""

    def found():
        return {(each.kind, each.name) for each in audit.audit(config.load(big.file))}

    assert found() == {("agrees", "case 1"), ("agrees", "case 2")}
    before = big.print(), sorted(big.state.rglob("*"))
    item = next(iter(big.sandbox.platform_state.display_sets))
    big.answer(item, mha(1))
    big.add("case 3", where=3.0)

    assert found() == {("different", "case 1"), ("agrees", "case 2"), ("missing", "case 3")}
    assert (big.print(), sorted(big.state.rglob("*"))) == before


def test_status_tells_the_masks_that_are_missing(site, reader):
    """So that somebody may ask the reader."""
    site.sandbox.configure(import_seconds=1000.0)
    post_mask(site, reader, MASK)
    site.run()

    with site.watch() as watch:
        (seen,) = watch.mirrors()

    assert (seen.reader_study, seen.archive, seen.masks_missing) == (STUDY, "", 1)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(mirrors_table([seen]))
    told = console.export_text()
    assert "1 answer " in told
    assert "1 mask not on the platform" in told


@pytest.mark.parametrize(
    ("keys", "rights"),
    [
        ({"reader_study": STUDY}, "of all readers"),
        ({"reader_study": "readers-only"}, "only its own"),
        ({"archive": "ct-archive"}, "read it"),
        ({"algorithm": "copy-image"}, "read it"),
    ],
)
def test_check_tells_whose_answers_the_token_gets(tmp_path, sandbox, keys, rights):
    """An editor's gets all; whoever is none learns it before the first run."""
    site = Mirrored(tmp_path / "site", sandbox, **{"archive": None, **keys})
    (slug,) = keys.values()
    found = [each.detail for each in check.check(config.load(site.file)) if slug in each.detail]
    assert rights in found[0]


# --- many answers --------------------------------------------------------------------------------


def fill(site, sets, readers):
    """Make answers to three questions by each reader, without any call."""
    users = {each.username for each in site.sandbox.platform_state.users}
    names = [f"reader{number}" for number in range(readers)]
    for name in names:
        if name not in users:
            site.sandbox.add_user(name)
    for number in range(sets):
        item = site.sandbox.add_display_set(STUDY, f"case {number}")
        for name in names:
            for question in ("Remark", "Again", "More"):
                site.sandbox.add_answer(item, site.questions[question], "x" * 40, username=name)


def peak_of_run(site):
    """The most memory that a run takes, in bytes, with what the sandbox takes for a page."""
    tracemalloc.start()
    try:
        site.run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.prove
def test_18000_answers_take_a_call_a_thousand_and_no_memory(site):
    """A second run without news makes at most 3 calls; memory is that of a study of 3000."""
    for text in ("Again", "More"):
        site.questions[text] = site.sandbox.add_question(STUDY, text, "Text")
    fill(site, sets=50, readers=20)
    small = peak_of_run(site)
    fill(site, sets=250, readers=20)
    (site.state / "mirrors" / "cts.answers.sqlite").unlink()
    site.sandbox.forget_calls()

    large = peak_of_run(site)

    assert asked(site).count("reader-studies/answers/") == 18
    assert len(site.rows()) == 18_000
    assert large - small < 4 << 20
    site.run()
    assert len(asked(site)) <= 3
