"""The audit: silent where all agree, and it finds each kind of damage done by hand."""

import json
import shutil
import time
from dataclasses import replace

import pytest
from support.builders import FAST, Site, mha, series, until, vendors_image
from support.contract import TARGETS
from support.mirrored import IMAGE, Mirrored

from gcwatch import config
from gcwatch.cli import main
from gcwatch.commands import audit
from gcwatch.core import errors

CT = ("ct.mha", mha(1, 2, 3, 4))
VARIANTS = {
    *("image", "image_and_value", "image_file_value", "file_and_value", "value", "dicom_set"),
    *("used_again", "without_sessions", "source_deleted", "source_moved"),
}
CHAINED = """
[[route]]
name = "second"
inbox = "out"
outbox = "last"
algorithm = "copy-image"
settle = "0s"
poll = "50ms"
"""


def hours_later():
    return time.time() + 3600


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


@pytest.fixture
def delivered(site):
    """A site with one delivered case."""
    site.drop("p1")
    site.run_once()
    return site


@pytest.fixture
def archived(tmp_path, sandbox):
    """A site whose one case has become an archive item with an image, a file and a value."""
    inputs = {"ct-image": "*.mha", "clinical-info": "*.json", "threshold": {"value": 2.5}}
    site = Site(tmp_path, sandbox, algorithm=None, archive="ct-archive", inputs=inputs)
    site.drop("p1", {"image.mha": mha(), "info.json": b"{}"})
    site.run_once()
    return site


def found(site, **how):
    return list(audit.audit(config.load(site.file), **how))


def wrong(site, **how):
    return [each for each in found(site, **how) if not each.is_fine]


def said(site, **how):
    """The kinds and the words of what does not agree."""
    return [(each.kind, each.detail) for each in wrong(site, **how)]


def only(rows):
    [row] = rows
    return row


def result(site, suffix=".mha"):
    """The result file of p1."""
    return only((site.outbox / "p1").rglob(f"*{suffix}"))


def item_of(site):
    """The record of p1's item in the sandbox."""
    return site.sandbox.platform_state.items[site.receipt()["target"]["archive_item"]]


# --- where all agree ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TARGETS)
def test_what_was_delivered_agrees(tmp_path, kind):
    """Every sort of case of every target: images, files, values, sets, images used again."""
    target = TARGETS[kind]
    for name in VARIANTS & target.variants.keys():
        variant = target.variants[name]
        with target.dropped(tmp_path / name, variant) as site:
            site.run_once()
            assert [each.kind for each in found(site)] == ["agrees"] * len(variant.folders), name


def test_a_mirror_that_has_just_run_agrees(tmp_path, sandbox):
    """Items, files and values in both layouts."""
    for layout in ("items", "flat"):
        site = Mirrored(tmp_path / layout, sandbox, layout=layout)
        site.add(f"{layout} a", generic_medical_image=CT)
        site.add(f"{layout} b", generic_medical_image=CT, threshold=3)
        site.run()
        assert {each.kind for each in found(site)} == {"agrees"}
        assert len(found(site)) == len(sandbox.state()["items"])


def test_failed_withdrawn_and_waiting_cases_are_nothing_wrong(site):
    """A failure has its note, a withdrawal is wanted, what waits is under way."""
    site.drop("bad", vendors_image())
    site.drop("given-up", {"a.mha": b""})
    site.run_once()
    site.sandbox.configure(images_ready=False)
    site.drop("waiting")
    site.drop("unwanted")
    site.run_once()
    with site.watch() as watch:
        watch.withdraw(site.case("unwanted"))
    kinds = {each.name: (each.kind, each.detail) for each in found(site)}
    assert kinds == {
        "bad": ("agrees", "failed"),
        "given-up": ("agrees", "failed"),
        "waiting": ("under way", "submitting"),
        "unwanted": ("agrees", "withdrawn"),
    }


@pytest.mark.parametrize("after", [{"after": "delete"}, {"after": "move", "done": "done"}])
def test_a_result_that_a_next_route_took_is_not_missing(site, after):
    """Its journal says that the folder was moved or deleted once it was delivered there."""
    (site.folder / "last").mkdir()
    keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in after.items())
    with site.file.open("a") as file:
        file.write(CHAINED + keys)
    site.drop("p1")
    site.run_once()
    site.run_once()
    assert not (site.outbox / "p1").exists()
    assert [each.kind for each in found(site)] == ["agrees", "agrees"]
    shutil.rmtree(site.folder / "last" / "p1")
    assert [each.where for each in wrong(site)] == ["route second"]


def test_a_retried_case_is_not_doubled(delivered):
    """The second result is a case of its own, with a job of its own."""
    with delivered.watch() as watch:
        watch.retry(delivered.case())
    delivered.run_once()
    assert delivered.delivered() == ["p1", "p1.2"]
    assert [each.kind for each in found(delivered)] == ["agrees", "agrees"]


def test_an_audit_leaves_no_trace(delivered):
    """Nothing is written, not even beside the journal, and nothing is asked of the platform."""
    before = {path: path.stat().st_mtime_ns for path in delivered.folder.rglob("*")}
    delivered.sandbox.forget_calls()
    found(delivered)
    assert {path: path.stat().st_mtime_ns for path in delivered.folder.rglob("*")} == before
    assert {call["method"] for call in delivered.sandbox.calls()} == {"GET"}


def test_offline_asks_nobody(delivered):
    """What stands on disk is still compared."""
    delivered.sandbox.forget_calls()
    result(delivered).unlink()
    assert [each.kind for each in wrong(delivered, offline=True)] == ["missing"]
    assert delivered.sandbox.calls() == []


# --- inboxes --------------------------------------------------------------------------------------


def test_a_folder_that_was_never_taken_in_is_found(delivered):
    """At first it counts as new; an empty one is no case."""
    delivered.drop("p2")
    (delivered.inbox / "empty").mkdir()
    assert said(delivered) == []
    finding = only(wrong(delivered, clock=hours_later))
    assert (finding.name, finding.kind) == ("p2", "missing")
    assert "no case for it" in finding.detail


def test_a_folder_that_is_gone_from_the_inbox_is_found(delivered):
    """Until the journal knows, too, that it was taken away."""
    delivered.drop("p2")
    delivered.run_once()
    shutil.rmtree(delivered.inbox / "p1")
    kind, detail = only(said(delivered))
    assert kind == "missing"
    assert "not there" in detail
    delivered.run_once()
    assert said(delivered) == []


def test_a_folder_that_changed_since_is_found(delivered):
    """Also once the journal knows of the change, as nothing of it was sent."""
    (delivered.inbox / "p1" / "late.mha").write_bytes(mha(9))
    for _ in range(2):
        kind, detail = only(said(delivered))
        assert kind == "different"
        assert "changed since it was sent" in detail
        delivered.run_once()


def test_an_inbox_that_is_away_is_no_agreement(delivered):
    """Nothing can be said of its folders."""
    shutil.rmtree(delivered.inbox)
    assert "unclear" in {kind for kind, _ in said(delivered)}


# --- outboxes -------------------------------------------------------------------------------------


def changed(site):
    file = result(site)
    file.write_bytes(bytes(len(file.read_bytes())))


def truncated(site):
    file = result(site)
    file.write_bytes(file.read_bytes()[:-1])


def doubled(site):
    shutil.copytree(site.outbox / "p1", site.outbox / "copy of p1")


def another_receipt(site):
    told = site.receipt()
    told["outputs"] = []
    (site.outbox / "p1" / "gcwatch.json").write_text(json.dumps(told))


def partial(site):
    (site.outbox / ".lobes-22222222.partial").mkdir()


def stranger(site):
    shutil.copytree(site.outbox / "p1", site.outbox / "p9")
    (site.outbox / "p9" / "gcwatch.json").write_text('{"key": "lobes-22222222"}')


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (changed, "different", "does not have the content"),
        (truncated, "half there", "bytes"),
        (lambda site: result(site).unlink(), "missing", "in its result"),
        (lambda site: (site.outbox / "p1" / "x").touch(), "different", "did not write"),
        (lambda site: shutil.rmtree(site.outbox / "p1"), "missing", "not in the outbox"),
        (lambda site: (site.outbox / "p1/gcwatch.json").unlink(), "half there", "receipt"),
        (lambda site: (site.outbox / "p1").rename(site.outbox / "q"), "different", "as q, not"),
        (lambda site: (site.outbox / "bare").mkdir(), "half there", "without a receipt"),
        (lambda site: (site.outbox / "p1.failed.txt").touch(), "different", "failure"),
        (another_receipt, "different", "its receipt differs"),
        (doubled, "doubled", "more than once"),
        (partial, "half there", "no case is open"),
        (stranger, "missing", "no such case"),
    ],
)
def test_damage_in_an_outbox_is_found(delivered, damage, kind, words):
    """Each kind once, in words, and by nothing else."""
    damage(delivered)
    found_kind, detail = only(said(delivered))
    assert found_kind == kind
    assert words in detail


def test_a_failure_without_its_note_is_found(site):
    """Whoever dropped the folder would never hear of it."""
    site.drop("p1", {"a.mha": b""})
    site.run_once()
    (site.outbox / "p1.failed.txt").unlink()
    kind, detail = only(said(site))
    assert kind == "missing"
    assert "p1.failed.txt" in detail


# --- the platform ---------------------------------------------------------------------------------


def test_a_job_that_is_gone_or_changed_is_found(delivered):
    """Gone, not Succeeded any more, or with other outputs."""
    jobs = delivered.sandbox.platform_state.jobs
    [(pk, job)] = jobs.items()
    job.outputs, kept = [], job.outputs
    assert "other outputs" in only(said(delivered))[1]
    job.outputs = kept
    del jobs[pk]
    assert only(said(delivered)) == ("missing", "the platform does not have its job (any more)")


def test_a_second_job_of_the_same_image_is_found(delivered):
    """Somebody ran the algorithm once more over what was sent for a case."""
    state = delivered.sandbox.platform_state
    [job] = state.jobs.values()
    state.jobs["another"] = replace(job, pk="another")
    assert only(said(delivered))[0] == "doubled"


def removed(site):
    site.sandbox.remove_item("ct-archive", item_of(site).title)


def second(site):
    site.sandbox.add_item("ct-archive", f"{item_of(site).title} again")


def set_value(site):
    item_of(site).values["threshold"].value = 3


def emptied(site):
    del item_of(site).values["clinical-info"]


def other_image(site):
    other = site.sandbox.add_item("ct-archive", "other", {"ct-image": CT})
    values = site.sandbox.platform_state.items[other].values
    item_of(site).values["ct-image"] = values["ct-image"]


def renamed(site):
    item_of(site).title = "somebody"


@pytest.mark.parametrize(
    ("damage", "kind", "words"),
    [
        (removed, "missing", "archive item"),
        (second, "doubled", "another archive item"),
        (set_value, "different", "threshold"),
        (emptied, "half there", "clinical-info"),
        (other_image, "different", "ct-image"),
        (renamed, "different", "somebody"),
    ],
)
def test_damage_on_the_platform_is_found(archived, damage, kind, words):
    """Each kind once, in words, and by nothing else; offline nobody looks."""
    assert said(archived) == []
    damage(archived)
    found_kind, detail = only(said(archived))
    assert found_kind == kind
    assert words in detail
    assert said(archived, offline=True) == []


# --- cases that are not delivered -----------------------------------------------------------------


@pytest.fixture
def archiving(tmp_path, sandbox):
    """A site whose one case is to become an archive item, and has not been sent yet."""
    inputs = {"ct-image": "*.mha", "threshold": {"value": 2.5}}
    site = Site(tmp_path, sandbox, algorithm=None, archive="ct-archive", inputs=inputs)
    site.drop("p1")
    return site


def work_until(site, condition):
    """Let the daemon work until something is so; what it does not know is not done."""
    with site.running(replace(FAST, slowest=900.0)) as watch:  # so that no patience runs out
        until(lambda: watch.cases() and condition(watch.cases()[0]))


def test_an_open_case_whose_job_is_gone_is_found(site):
    """The next poll would tell, too."""
    site.sandbox.configure(job_seconds=1e9)
    site.drop("p1")
    work_until(site, lambda case: case.submission)
    assert [each.kind for each in found(site)] == ["under way"]
    site.sandbox.platform_state.jobs.clear()
    assert only(said(site)) == ("missing", "the platform does not have its job (any more)")


def test_a_failed_case_whose_job_has_succeeded_is_found(tmp_path, sandbox):
    """There is a result that nobody fetched."""
    site = Site(tmp_path, sandbox, algorithm="always-fails")
    site.drop("p1")
    site.run_once()
    assert said(site) == []
    [job] = sandbox.platform_state.jobs.values()
    job.status = "Succeeded"
    kind, detail = only(said(site))
    assert kind == "different"
    assert "has Succeeded" in detail


def test_an_item_that_a_failed_case_left_empty_is_found(archiving):
    """Readers would see it; what is told of it is what it lacks."""
    lungs = {"lung-segmentation": "*.mha"}  # takes no voxels but 1 and 2
    archiving.configure(algorithm=None, archive="ct-archive", inputs=lungs)
    archiving.run_once()
    assert archiving.case().failure.code == "item_import_failed"
    kind, detail = only(said(archiving))
    assert kind == "half there"
    assert "is there without lung-segmentation" in detail


def test_what_the_platform_has_of_an_unsent_case_is_found(archiving):
    """As after a journal was restored from yesterday."""
    archiving.configure(
        algorithm=None, archive="ct-archive", settle="1h", inputs={"ct-image": "*.mha"}
    )
    work_until(archiving, lambda case: case.seen)
    assert [each.kind for each in found(archiving)] == ["under way"]
    archiving.sandbox.add_item("ct-archive", archiving.case().key)
    kind, detail = only(said(archiving))
    assert kind == "different"
    assert "has not sent it yet" in detail


def test_what_the_platform_has_of_a_failed_case_is_found(archiving):
    """A call that was given up may have come true."""
    (archiving.inbox / "p1" / "second.mha").write_bytes(mha(7))
    archiving.run_once()
    assert [each.kind for each in found(archiving)] == ["agrees"]
    archiving.sandbox.add_item("ct-archive", archiving.case().key)
    kind, detail = only(said(archiving))
    assert kind == "different"
    assert "it failed here" in detail


def test_a_case_in_doubt_is_under_way_until_there_are_two_of_it(archiving):
    """One item may be the lost reply's, which the daemon will look for; two can't be."""
    archiving.sandbox.fault("cut_after", method="POST", path="archives/items/$", nth=2)
    archiving.sandbox.fault("status", method="GET", path="archives/items/", times=None)
    work_until(archiving, lambda case: case.attempt and case.attempts > 1)
    archiving.sandbox.clear_faults()
    assert [each.kind for each in found(archiving)] == ["under way"]
    archiving.sandbox.add_item("ct-archive", f"{archiving.case().key} again")
    assert only(said(archiving))[0] == "doubled"


@pytest.mark.parametrize("kind", ["item", "job"])
def test_a_lost_journal_is_found(archiving, kind):
    """All would be sent again: the platform still bears the keys of what was sent."""
    if kind == "job":
        archiving.configure()
    archiving.run_once()
    key = archiving.case().key
    shutil.rmtree(archiving.state)
    shutil.rmtree(archiving.outbox / "p1")
    finding = only(wrong(archiving))
    assert (finding.kind, finding.case) == ("missing", key)
    assert "the journal has no such case" in finding.detail


def test_what_came_to_be_meanwhile_is_not_judged(archiving):
    """A daemon does not wait: here it works after outbox and platform were listed."""
    archiving.run_once()
    archiving.drop("p2")

    def work(what, _count):
        if what == "cases" and len(archiving.sandbox.platform_state.items) == 1:
            archiving.run_once()

    kinds = {(each.name, each.kind) for each in found(archiving, progress=work)}
    assert len(archiving.sandbox.platform_state.items) == 2
    assert kinds == {("p1", "agrees"), ("p2", "under way")}
    assert [each.kind for each in found(archiving)] == ["agrees", "agrees"]


# --- bytes ----------------------------------------------------------------------------------------


def other_output(site):
    [job] = site.sandbox.platform_state.jobs.values()
    image = next(value.image for value in job.outputs if value.image)
    content = bytearray(image.file.path.read_bytes())
    content[-1] ^= 1
    image.file.path.write_bytes(content)


def other_file(site):
    item_of(site).values["clinical-info"].file.path.write_bytes(b"[]")


def fewer_instances(site):
    image = item_of(site).values["dicom-ct"].image
    image.instances = image.instances[:-1]


@pytest.fixture
def set_archived(tmp_path, sandbox):
    """A site whose one case has become an archive item with a DICOM image set."""
    site = Site(tmp_path, sandbox, algorithm=None, archive="ct-archive", inputs={"dicom-ct": "**"})
    site.drop("p1", series())
    site.run_once()
    return site


@pytest.mark.parametrize(
    ("sort", "damage", "kind", "words"),
    [
        ("delivered", other_output, "different", "another content of"),
        ("archived", other_file, "different", "in clinical-info than was sent"),
        ("set_archived", fewer_instances, "half there", "files that were sent"),
    ],
)
def test_damage_to_bytes_is_found_by_downloading(request, sort, damage, kind, words):
    """Each kind once; what the platform keeps in another form is only compared by name."""
    site = request.getfixturevalue(sort)
    assert said(site, download=True) == []
    damage(site)
    assert said(site) == []
    found_kind, detail = only(said(site, download=True))
    assert found_kind == kind
    assert words in detail


def test_a_download_that_fails_is_no_agreement(delivered):
    """Nothing is claimed of what could not be fetched."""
    delivered.sandbox.fault("status", host="storage", method="GET", status=403, times=None)
    assert {kind for kind, _ in said(delivered, download=True)} == {"unclear"}


def test_an_archive_that_can_not_be_seen_tells_nothing(archived):
    """Lost rights look like lost items: neither is claimed."""
    archived.sandbox.revoke("ct-archive")
    assert only(said(archived))[0] == "unclear"


# --- mirrors --------------------------------------------------------------------------------------


def cut(site, _item):
    file = next((site.outbox / "a").rglob("*.mha"))
    file.write_bytes(file.read_bytes()[:-1])


def copied(site, _item):
    shutil.copytree(site.outbox / "a", site.outbox / "b")


def bare(site, _item):
    (site.outbox / "a" / "gcwatch.json").unlink()


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (cut, ["half there"]),
        (copied, ["doubled"]),
        (bare, ["half there", "missing"]),
        (lambda site, item: site.change(item, **{IMAGE: ("n.mha", mha(7))}), ["different"]),
        (lambda site, item: site.take_out(item), ["missing"]),
        (lambda site, _: site.add("new", generic_medical_image=CT), ["missing"]),
    ],
)
def test_damage_to_a_mirror_is_found(tmp_path, sandbox, damage, kinds):
    """Files against receipts, receipts against the archive."""
    site = Mirrored(tmp_path / "site", sandbox, archive="second-archive")
    site.add("z", generic_medical_image=CT)
    item = site.add("a", generic_medical_image=("a.mha", mha(4, 3, 2, 1)))
    site.run()
    assert said(site) == []
    damage(site, item)
    assert [each.kind for each in wrong(site)] == kinds


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command in this process; its exit code and what it printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(site, *arguments):
        with pytest.raises(SystemExit) as end:
            main(["audit", "--config", str(site.file), *arguments])
        return int(end.value.code or 0), capsys.readouterr().out

    return run


def test_the_exit_code_tells_whether_all_agree(delivered, run):
    """0 and a sentence; 3 with the case named, for people and for programs."""
    assert run(delivered) == (0, "1 case checked, it agrees.\n")
    doubled(delivered)
    code, out = run(delivered)
    assert code == 3
    assert "p1" in out
    assert "more than once" in out
    code, out = run(delivered, "--json", "--offline")
    told = json.loads(out)
    assert (code, told["agree"], told["counts"]) == (3, False, {"doubled": 1})
    assert told["findings"][0]["case"] == delivered.case().key


def test_no_token_and_no_platform_have_their_own_exit_codes(delivered, run):
    """Nothing is claimed of what could not be asked."""
    delivered.use_token("0" * 64)
    assert run(delivered)[0] == 77
    with pytest.raises(errors.TokenRefused):
        found(delivered)
    assert run(delivered, "--offline")[0] == 0


def test_a_site_that_never_worked_has_nothing_to_compare(site, run):
    """No journal is made by looking."""
    assert run(site) == (0, "There is nothing to compare.\n")
    assert not site.state.exists()
