"""Cases that are items of an archive on the platform: each once, and no image is moved."""

import shutil

import pytest
from support.builders import Site, check_results, mha, until
from support.sandbox_user import SandboxUser

import gcwatch
from gcwatch import config
from gcwatch.commands import check, plan
from gcwatch.core.errors import ConfigError
from gcwatch.core.reasons import explain

ARCHIVE = {"archive": "ct-archive", "every": "1h"}
PREDICTIONS = {"ct-image": {"socket": "ct-image"}}


class Sourced(Site):
    """A site whose route takes its cases from an archive."""

    def configure(self, **route):
        usual = {"inbox": None, "settle": None, "source": ARCHIVE, "algorithm": "threshold"}
        super().configure(**{**usual, **route})

    def add(self, title="p1", voxel=1, **values):
        image = {"ct-image": ("ct.mha", mha(voxel, 2, 3))} if voxel else {}
        named = {slug.replace("_", "-"): value for slug, value in values.items()}
        return self.sandbox.add_item("ct-archive", title, {**image, **named})

    def change(self, pk, socket, **source):
        with SandboxUser(self.sandbox) as user:
            body = {"values": [{"interface": socket, **source}]}
            assert user.call("PATCH", f"archives/items/{pk}/", body).status_code == 200
        self.sandbox.forget_calls()

    def writes(self):
        """What was made on the platform."""
        calls = self.sandbox.calls()
        return [each["path"] for each in calls if each["method"] != "GET" and each["applied"]]

    def planned(self):
        [planned] = plan.plan(config.load(self.file))
        return {folder.name: folder for folder in planned.folders}


@pytest.fixture
def site(tmp_path, sandbox):
    return Sourced(tmp_path, sandbox)


def test_each_item_becomes_one_job_without_an_upload(site):
    """Two items, two jobs; a second run makes none; a new item is taken then."""
    pk = site.add("p1", threshold=1.5)
    site.add("p2", voxel=9, threshold=0.5)
    site.sandbox.forget_calls()

    assert site.run_once().delivered == 2
    assert site.writes() == ["/api/v1/algorithms/jobs/"] * 2
    images = [call for call in site.sandbox.calls() if "/media/images/" in call["path"]]
    assert len(images) == 2, "only the results are fetched"
    for name in ("p1", "p2"):
        check_results(site.sandbox, site.outbox / name)
    receipt = site.receipt("p1")
    assert receipt["source"]["archive_item_url"].endswith(f"/archives/items/{pk}/")
    assert [each["socket"] for each in receipt["inputs"]] == ["ct-image", "threshold"]

    assert site.run_once().delivered == 0
    site.add("p3", voxel=7, threshold=0.5)
    assert site.run_once().delivered == 1
    assert len(site.jobs()) == 3


def test_an_item_is_taken_when_it_has_what_is_needed(site):
    """Until then it waits and says why; an empty item is no case."""
    site.add("empty", voxel=0)
    lacking = site.add("p1", voxel=0, threshold=1.5)
    other = site.add("p2", threshold=2.5)

    assert (outcome := site.run_once()).delivered == 1
    assert outcome.waiting == 1
    wait = site.case("p1").wait.reason
    assert wait.code == "item_incomplete"
    assert explain(wait).detail.startswith("The item has threshold, and needed is ct-image.")

    with SandboxUser(site.sandbox) as user:
        held = user.tell(f"archives/items/{other}/")["values"]
    [image] = [each["image"] for each in held if each["image"]]
    site.change(lacking, "ct-image", image=image)
    assert site.planned()["p1"].verdict == "send"


@pytest.mark.parametrize("used", [True, False])
def test_a_change_of_a_delivered_item_is_told_if_it_matters(site, used):
    """Other content of a socket that was taken gets a note; nothing is sent again."""
    pk = site.add(threshold=1.5)
    site.run_once()

    site.change(pk, *(("threshold",) if used else ("voxel-count",)), value=7)
    site.run_once()

    assert len(site.jobs()) == 1
    note = site.outbox / "p1.changed.txt"
    assert note.exists() == used
    if used:
        assert "This case of the archive has changed" in note.read_text()
        with site.watch() as watch:
            watch.retry(watch.find("lobes/p1"))
        assert site.run_once().delivered == 1
        assert site.receipt("p1.2")["inputs"][1]["value"] == 7


def test_inputs_name_other_sockets_of_the_item(site):
    """An algorithm's input gets what another socket holds, or a constant."""
    site.configure(algorithm="copy-image", inputs={"generic-medical-image": {"socket": "ct-image"}})
    site.add()

    assert site.run_once().delivered == 1


@pytest.mark.parametrize(("values", "inputs"), [({}, 1), ({"threshold": 1.5}, 2)])
def test_the_interface_is_that_of_what_the_item_holds(site, values, inputs):
    """Of two interfaces, the one whose inputs the item has."""
    site.configure(algorithm="two-ways")
    site.add(**values)

    assert site.run_once().delivered == 1

    assert len(site.jobs()[0]["inputs"]) == inputs


def test_items_become_display_sets_of_a_reader_study(site):
    """The readers see the images that are there."""
    site.configure(algorithm=None, reader_study="lung-study", inputs=PREDICTIONS)
    site.add()
    site.sandbox.forget_calls()

    assert site.run_once().delivered == 1

    assert not [path for path in site.writes() if "upload" in path]
    assert len(site.sandbox.state()["display_sets"]) == 1


def test_nothing_is_sent_again_under_another_name_of_the_route(site):
    """A route is its archive and its target."""
    site.add(threshold=1.5)
    site.run_once()

    site.configure(name="thresholds")
    site.run_once()

    assert len(site.jobs()) == 1


def test_nothing_is_sent_again_if_the_receipts_are_lost(site):
    """They are written again, and mean the same."""
    site.add(threshold=1.5)
    site.run_once()

    shutil.rmtree(site.state / "sources")
    site.run_once()

    assert len(site.jobs()) == 1
    assert not (site.outbox / "p1.changed.txt").exists()


def test_a_plan_lists_the_archive_and_writes_nothing(site):
    """Before the first run it says what would be sent; the state directory stays away."""
    site.add("p1", threshold=1.5)
    site.add("p2", voxel=0, threshold=1.5)

    planned = site.planned()

    assert {name: each.verdict for name, each in planned.items()} == {"p1": "send", "p2": "wait"}
    assert not (site.state / "sources").exists()
    assert not site.writes()


def test_check_says_what_the_items_are_for(site):
    """It asks for the archive, and names the sockets; a file can't be taken."""
    site.configure(algorithm="file-only")
    found = {each.what: each for each in check.check(config.load(site.file))}
    assert "the items of the archive ct-archive" in found["source"].detail
    assert "the token may read it" in found["archive"].detail
    assert "not files" in found["input clinical-info"].detail


def test_what_is_sent_by_hand_leaves_the_archive_alone(site):
    """`gcwatch send` uses the platform and the limits of a config, and nothing else of it."""
    site.add(threshold=1.5)
    site.sandbox.forget_calls()

    [sent] = gcwatch.send(
        site.drop(),
        algorithm="copy-image",
        output=site.folder / "by-hand",
        config=site.file,
        poll="50ms",
        quiet=True,
    )

    assert sent.ending == "delivered"
    assert not [call for call in site.sandbox.calls() if "archives" in call["path"]]


def test_the_daemon_takes_new_items_on_its_schedule(site):
    """Without a change of the config, and without a signal of any folder."""
    site.configure(source={"archive": "ct-archive", "every": "100ms"})
    with site.running() as watch:
        until(site.sandbox.calls)
        site.add(threshold=1.5)
        until(lambda: [case.ending for case in watch.cases()] == ["delivered"])


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ({"inbox": "in"}, "inbox is for the folders of an inbox"),
        ({"after": "delete"}, "after is for the folders of an inbox"),
        ({"deidentify": False}, "deidentify is for the folders of an inbox"),
        ({"inputs": {"ct-image": "*.mha"}}, "names files of a folder"),
        ({"source": None}, "inbox is missing"),
        ({"source": {"archive": "a", "slug": "b"}}, "is no archive whose items are cases"),
        ({"source": {"archive": "a", "every": "often"}}, "must be a duration"),
        (
            {"algorithm": None, "archive": "ct-archive", "inputs": PREDICTIONS},
            "each new item would be a case again",
        ),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(site, route, told):
    """Each mistake with its key."""
    site.configure(**route)
    with pytest.raises(ConfigError) as found:
        config.load(site.file)
    assert told in "; ".join(map(str, found.value.problems))


def test_two_routes_may_not_send_the_same_items_to_the_same_target(site):
    """Another target is another thing."""
    one, two = site.file.read_text(), site.file.read_text().partition("[[route]]")[2]
    other = two.replace('"lobes"', '"second"')
    site.file.write_text(f"{one}\n[[route]]{other}")
    with pytest.raises(ConfigError) as found:
        config.load(site.file)
    assert "would be sent twice" in str(found.value.problems[0])
    elsewhere = other.replace('"threshold"', '"two-ways"')
    site.file.write_text(f"{one}\n[[route]]{elsewhere}")
    assert len(config.load(site.file).sources) == 2
