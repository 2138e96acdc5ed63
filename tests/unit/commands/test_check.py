"""What `gcwatch check` finds wrong, and what it leaves alone."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing

import pytest
from support.builders import Site, until

from gcwatch import config
from gcwatch.commands import check
from gcwatch.core.errors import StateError
from gcwatch.journal.databases.sqlite import JOURNAL_FILE
from gcwatch.journal.hosts.presence import running_daemon
from gcwatch.journal.journal import Journal
from gcwatch.journal.read_only import read_only_journal


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


def findings(site, **how):
    return list(check.check(config.load(site.file), **how))


def wrong(site, **how):
    return [each for each in findings(site, **how) if not each.is_fine]


def only(found):
    [finding] = found
    return finding


def test_a_good_site_has_nothing_wrong(site):
    """Config, state, folders, token, algorithm and input are each told of, and fine."""
    found = findings(site)
    assert all(each.is_fine for each in found)
    assert [each.what for each in found] == [
        *("file", "folder", "inbox", "outbox", "token", "algorithm"),
        "input generic-medical-image",
    ]
    assert "of alice" in found[4].detail


def test_a_route_of_other_hosts_is_told_and_its_folders_are_not_tried(site):
    """They need not be there; nothing is wrong."""
    site.configure(hosts=["watch-a", "watch-b"], inbox="/nowhere")
    [told] = [each for each in findings(site, offline=True) if each.where == "route lobes"]
    assert told.is_fine
    assert told.detail.startswith("for watch-a, watch-b; this is ")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"unscrubbed": ["mrxs", "ndpi"]}, "mrxs, ndpi"),
        ({"burned_in": "allow"}, "may show a name"),
        ({"deidentify": False}, "as they are"),
    ],
)
def test_names_that_leave_are_told(site, keys, told):
    """They are no trouble: the route says so."""
    site.configure(**keys)
    found = [each for each in findings(site, offline=True) if each.what in keys]
    assert told in only(found).detail
    assert only(found).is_fine


@pytest.mark.parametrize(
    ("program", "is_fine"),
    [("true", True), ("/bin/sh", True), ("/nowhere/x", False), ("nix", False)],
)
def test_the_program_of_a_command_is_looked_for_and_not_run(site, program, is_fine):
    """A program that is not there is known before the first delivery."""
    site.configure(on_delivered=[program, "{folder}"])

    [found] = [each for each in findings(site, offline=True) if each.what == "on_delivered"]

    assert found.is_fine == is_fine
    assert program in found.detail


def test_nothing_is_written(site):
    """A check, by root even, leaves no journal, lock or probe behind."""
    before = sorted(site.folder.rglob("*"))
    findings(site)
    assert sorted(site.folder.rglob("*")) == before


def test_offline_asks_nobody(site):
    """Without the platform the folders and the token's file are still checked."""
    site.sandbox.forget_calls()
    assert [each.what for each in findings(site, offline=True)][-1] == "token"
    assert site.sandbox.calls() == []


def test_a_missing_inbox_is_a_cross(site):
    """The daemon would wait for it; whoever checks wants to know."""
    shutil.rmtree(site.inbox)
    found = only(wrong(site))
    assert (found.what, found.cause) == ("inbox", "config")
    assert "mount" in found.hint


def test_a_missing_outbox_is_a_cross(site):
    """Results have nowhere to go; the hint is a command."""
    site.outbox.rmdir()
    assert only(wrong(site)).hint == f"mkdir -p {site.outbox}"


def test_a_done_folder_may_be_made_later(site):
    """What can be made is fine; what stands in the way is not."""
    site.configure(after="move", done="later/done")
    assert not wrong(site)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_a_cross(site):
    """The user that checks is the user that will run."""
    site.outbox.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert only(wrong(site)).what == "outbox"


def test_a_running_daemon_is_told_and_is_no_trouble(site):
    """Check runs beside the daemon, and does not get in its way."""
    with site.running():
        until(lambda: running_daemon(site.state))
        found = findings(site)
    assert f"used by process {os.getpid()}" in found[1].detail
    assert found[1].is_fine


def test_a_missing_token_is_the_tokens_matter(site):
    """No file, no token: the platform is not asked."""
    site.token.unlink()
    found = only(wrong(site))
    assert (found.what, found.cause) == ("token", "token")


def test_a_token_that_others_can_read_is_a_cross(site):
    """The hint is the command that mends it; the token itself is not shown."""
    site.token.chmod(0o644)
    found = only(wrong(site))
    assert found.hint == f"chmod 600 {site.token}"
    assert site.sandbox.token not in str(found)


def test_a_refused_token_is_a_cross(site):
    """A wrong token is told from a platform that is away."""
    site.use_token("0" * 64)
    assert (only(wrong(site)).what, only(wrong(site)).cause) == ("token", "token")


def test_a_platform_that_is_away_is_a_cross(site):
    """The address is wrong, or the network is."""
    site.file.write_text(site.file.read_text().replace(site.sandbox.url, "http://127.0.0.1:9/api/"))
    assert only(wrong(site)).cause == "platform"


def test_an_address_that_is_no_api_is_a_cross(site):
    """Another web site's answers are no platform's."""
    site.file.write_text(site.file.read_text().replace("/api/v1/", "/nothing/"))
    assert only(wrong(site)).cause in {"platform", "token"}


@pytest.mark.parametrize("slug", ["no-such-algorithm", "hidden"])
def test_an_unknown_slug_is_a_cross(site, slug):
    """It does not exist, or this token may not see it: the platform does not tell which."""
    site.configure(algorithm=slug)
    found = only(wrong(site))
    assert (found.what, found.cause) == ("algorithm", "config")
    assert slug in found.detail
    assert "no access" in found.detail


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda file: _set_version(file, 99), "newer gcwatch"),
        (lambda file: file.write_bytes(b"no database at all" * 100), "not a database"),
    ],
)
def test_a_journal_that_would_stop_the_daemon_is_a_cross(site, spoil, said):
    """The daemon would not even start on it; the plan names the file itself, not its own copy."""
    Journal(site.state).close()
    assert not wrong(site)
    spoil(site.state / JOURNAL_FILE)
    found = only(wrong(site))
    assert (found.what, found.cause) == ("journal", "config")
    assert said in found.detail
    assert str(site.state / JOURNAL_FILE) in found.detail
    with (
        pytest.raises(StateError, match=str(site.state)),
        read_only_journal(config.load(site.file)),
    ):
        pytest.fail("it was read")


def _set_version(file, version):
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def test_inputs_that_no_interface_takes_are_a_cross(site):
    """What was given, and what would be taken, are both named."""
    site.configure(algorithm="two-ways", inputs={"ct-image": "**/*", "pet-image": "**/*"})
    found = only(wrong(site))
    assert "ct-image, pet-image" in found.detail
    assert "It takes {ct-image} or {ct-image, threshold}." in found.detail


@pytest.mark.parametrize(
    ("algorithm", "inputs", "what", "said"),
    [
        ("values-only", {"threshold": {"value": "high"}}, "threshold", "a string instead of"),
        ("copy-image", {"generic-medical-image": {"value": 1}}, "generic-medical-image", "a file"),
        ("file-only", {"clinical-info": {"value": 1}}, "clinical-info", "a file, not a value"),
        (
            "copy-image",
            {"generic-medical-image": {"json": "a.json"}},
            "generic-medical-image",
            "an image, not JSON",
        ),
    ],
)
def test_a_source_that_does_not_fit_its_socket_is_a_cross(site, algorithm, inputs, what, said):
    """Literals and kinds are held against the sockets before a patient is dropped."""
    site.configure(algorithm=algorithm, inputs=inputs)
    found = only(wrong(site))
    assert found.what == f"input {what}"
    assert said in found.detail


def test_every_route_is_checked(site):
    """One route's trouble does not hide another's."""
    text = site.file.read_text()
    other = text[text.index("[[route]]") :].replace('"lobes"', '"other"')
    for name in ("in", "out"):
        (site.folder / f"{name}2").mkdir()
        other = other.replace(f'"{name}"', f'"{name}2"')
    site.file.write_text(f"{text}\n{other}".replace('"copy-image"', '"nothing"'))
    assert [each.where for each in wrong(site)] == ["route lobes", "route other"]


# --- reader studies, archives and rights ----------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "fine"),
    [
        ({"algorithm": "forbidden"}, ("algorithm", "may not run it", "user")),
        ({"reader_study": "readers-only"}, ("reader study", "may not add to it", "editor")),
        ({"archive": "public-archive"}, ("archive", "may not add to it", "editor or uploader")),
    ],
)
def test_seeing_is_told_from_using(site, target, fine):
    """What the token may see and not use is a cross that says which right is missing."""
    inputs = {} if "algorithm" in target else {"inputs": {"ct-image": "*.mha"}}
    site.configure(**{"algorithm": None, **target, **inputs})
    found = only(wrong(site))
    what, right, role = fine
    assert found.what == what
    assert right in found.detail
    assert found.hint.endswith(f"this role: {role}.")
    assert not site.sandbox.state()["counts"]["jobs"]


@pytest.mark.parametrize("kind", ["reader_study", "archive"])
def test_an_unknown_place_is_a_cross(site, kind):
    """A reader study or archive that is not there, or not for us."""
    site.configure(**{"algorithm": None, kind: "no-such-place", "inputs": {"ct-image": "*.mha"}})
    found = only(wrong(site))
    assert "no-such-place does not exist, or this token has no access" in found.detail


@pytest.mark.parametrize(
    "target",
    [{"reader_study": "lung-study"}, {"archive": "ct-archive"}, {"archive": "uploads-only"}],
)
def test_a_place_that_may_be_used_is_fine_and_stays_empty(site, target):
    """Each socket is looked up and told; asking after rights makes no case."""
    inputs = {"ct-image": "*.mha", "threshold": {"value": 0.5}}
    site.configure(algorithm=None, **target, inputs=inputs)
    before = site.sandbox.state()
    assert not wrong(site)
    told = [each.detail for each in findings(site)]
    assert "Float, sent as value: always 0.5" in told
    after = site.sandbox.state()
    assert after["counts"] == before["counts"]


def test_a_socket_that_is_none_is_a_cross(site):
    """A reader study takes any socket, so long as the platform has it."""
    site.configure(algorithm=None, reader_study="lung-study", inputs={"no-such": "*.mha"})
    assert "knows no socket no-such" in only(wrong(site)).detail
