"""`gcwatch init`: a first config, by asking and by options, which works as it is."""

import os
import pty
import select
import stat
import subprocess
import sys
import termios
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.builders import Site, mha, until
from support.service_machine import needs_root, on_a_machine

from gcwatch import config
from gcwatch.cli import main
from gcwatch.commands import check, first_config
from gcwatch.commands.first_config import Choices
from gcwatch.commands.systemd_unit import STATE
from gcwatch.config import Constant, Glob, JsonFile
from gcwatch.core.errors import ConfigError
from gcwatch.journal.hosts.presence import running_daemon
from gcwatch.platform.connect import connect

PROGRAM = [sys.executable, "-m", "gcwatch"]
QUICK = ("--settle", "0s", "--poll", "50ms")


@pytest.fixture
def place(tmp_path, sandbox, monkeypatch):
    """An empty folder where somebody is about to set gcwatch up, with a token in a file."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("GCWATCH_CONFIG", "GRAND_CHALLENGE_AUTHORIZATION", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(sandbox.token)
    file = folder / "gcwatch.toml"
    return SimpleNamespace(folder=folder, sandbox=sandbox, token=token, file=file)


@pytest.fixture
def run(place, capsys):
    """Run a command in this process; its exit code, what it printed, what it said."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments])
        printed = capsys.readouterr()
        assert place.sandbox.token not in printed.out + printed.err
        return int(end.value.code or 0), printed.out, printed.err

    return run


def options(place, *more):
    return ("init", "--url", place.sandbox.url, "--token-file", place.token, *more)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


# --- by options ----------------------------------------------------------------------------------


def test_what_init_writes_passes_check_and_delivers_a_patient(place, run):
    """Options alone; then `gcwatch check` is content, and `gcwatch once` sends what is dropped."""
    code, out, _ = run(*options(place, "--algorithm", "copy-image", "--name", "lobes", *QUICK))
    assert (code, out) == (0, "gcwatch check\ngcwatch run\n")
    assert run("check")[0] == 0
    patient = place.folder / "lobes" / "in" / "p1"
    patient.mkdir()
    (patient / "image.mha").write_bytes(mha())
    assert run("once")[0] == 0
    assert (place.folder / "lobes" / "out" / "p1" / "gcwatch.json").exists()


def test_an_algorithm_of_several_inputs_gets_a_place_for_each(place, run):
    """What is proposed for an image and a number fits a folder laid out like that."""
    assert run(*options(place, "--algorithm", "threshold", *QUICK))[0] == 0
    patient = place.folder / "threshold" / "in" / "p1"
    (patient / "ct-image").mkdir(parents=True)
    (patient / "ct-image" / "scan.mha").write_bytes(mha())
    (patient / "threshold.json").write_text("2")
    assert run("once")[0] == 0
    assert (place.folder / "threshold" / "out" / "p1" / "gcwatch.json").exists()


@pytest.mark.parametrize("kind", ["reader-study", "archive"])
def test_a_reader_study_or_archive_takes_what_the_options_say(place, run, kind):
    """The sockets to fill have to be named: nobody can propose them."""
    slug = {"reader-study": "lung-study", "archive": "ct-archive"}[kind]
    target = options(place, f"--{kind}", slug, *QUICK)
    code, _, err = run(*target)
    assert code == 64
    assert "--input" in err
    assert run(*target, "--input", "ct-image=*.mha", "--input", "threshold=0.5")[0] == 0
    [route] = config.load(place.file).routes
    assert route.inputs == {"ct-image": Glob("*.mha"), "threshold": Constant(0.5)}
    assert run("check")[0] == 0
    patient = place.folder / slug / "in" / "p1"
    patient.mkdir()
    (patient / "scan.mha").write_bytes(mha())
    assert run("once")[0] == 0
    assert (place.folder / slug / "out" / "p1" / "gcwatch.json").exists()


def test_a_mirror_fetches_its_archive(place, run):
    """A mirror has a folder and no inbox."""
    place.sandbox.add_item("ct-archive", "one", {"ct-image": mha()})
    assert run(*options(place, "--mirror", "ct-archive", "--inbox", "in"))[0] == 64
    assert run(*options(place, "--mirror", "ct-archive", "--outbox", "kept"))[0] == 0
    assert run("check")[0] == 0
    assert run("mirror", "ct-archive")[0] == 0
    assert (place.folder / "kept" / "one" / "gcwatch.json").exists()
    assert not (place.folder / "ct-archive").exists()


@pytest.mark.prove
def test_an_algorithm_takes_the_items_of_an_archive(place, run):
    """The config has no inbox, and works at once; another target is refused."""
    place.sandbox.add_item("ct-archive", "one", {"ct-image": mha()})
    source = ("--source", "ct-archive")
    assert run(*options(place, "--archive", "second-archive", *source))[0] == 64
    assert run(*options(place, "--algorithm", "segment-lungs", *source, "--inbox", "in"))[0] == 64
    assert run(*options(place, "--algorithm", "segment-lungs", *source))[0] == 0
    assert run("check")[0] == 0
    assert run("once")[0] == 0
    assert (place.folder / "segment-lungs" / "out" / "one" / "gcwatch.json").exists()
    assert not (place.folder / "segment-lungs" / "in").exists()


def test_a_mirror_fetches_the_answers_of_a_reader_study(place, run):
    """The option names the study; its answers come into a folder."""
    place.sandbox.add_answer(place.sandbox.add_display_set("lung-study", "one"))
    assert run(*options(place, "--answers", "lung-study", "--outbox", "kept"))[0] == 0
    assert run("check")[0] == 0
    assert run("mirror", "lung-study")[0] == 0
    assert b"What do you see?" in (place.folder / "kept" / "answers.csv").read_bytes()


def test_what_is_made_is_as_closed_as_it_can_be(place, run):
    """Whatever the umask: the file and the state for the owner, the folders for a group, too."""
    before = os.umask(0)
    try:
        run(*options(place, "--algorithm", "copy-image"))
    finally:
        os.umask(before)
    assert mode(place.file) == 0o600
    assert mode(place.folder / "state") == 0o700
    assert mode(place.folder / "copy-image" / "in") == mode(place.folder / "copy-image" / "out")
    assert mode(place.folder / "copy-image" / "in") == 0o2770


def test_folders_that_are_there_are_left_as_they_are(place, run):
    """Somebody else has decided who may write to an inbox."""
    (place.folder / "in").mkdir(0o755)
    run(*options(place, "--algorithm", "copy-image", "--inbox", "in", "--outbox", "out"))
    assert mode(place.folder / "in") == 0o755
    assert config.load(place.file).routes[0].inbox == place.folder / "in"


def test_a_config_is_replaced_only_if_that_is_said(place, run):
    """Without --force nothing changes, and the platform is not even asked."""
    place.file.write_text("# mine\n")
    place.sandbox.forget_calls()
    code, _, err = run(*options(place, "--algorithm", "copy-image"))
    assert (code, place.file.read_text()) == (64, "# mine\n")
    assert "--force" in err
    assert place.sandbox.calls() == []
    assert run(*options(place, "--algorithm", "copy-image", "--force"))[0] == 0
    assert config.load(place.file).routes


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        ((), 64, "One target is needed"),
        (("--algorithm", "copy-image", "--archive", "ct-archive"), 64, "One target is needed"),
        (("--algorithm", "no-such"), 78, "no-such"),
        (("--algorithm", "forbidden"), 78, "run"),
        (("--reader-study", "readers-only", "--input", "ct-image=*"), 78, "editor"),
        (("--algorithm", "threshold", "--input", "ct-image=*"), 78, "threshold"),
        (("--algorithm", "threshold", "--input", "ct-image"), 64, "SOCKET=WHAT"),
        (("--algorithm", "threshold", "--input", "ct-image=/etc/*"), 64, "inside"),
        (("--algorithm", "values-only", "--input", "threshold=null"), 64, "null"),
        (("--algorithm", "copy-image", "--name", "No Name"), 78, "name"),
        (("--algorithm", "copy-image", "--inbox", "a", "--outbox", "a/b"), 78, "outbox"),
        (("--algorithm", "copy-image", "--url", "http://example.org"), 64, "https"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(place, run, more, code, said):
    """Usage, slugs, rights, sockets, names and folders: each has its exit code and its words."""
    found, out, err = run(*options(place, *more))
    assert (found, out) == (code, "")
    assert said in err
    assert list(place.folder.iterdir()) == []


def test_a_token_that_is_refused_or_lies_open_stops_it(place, run):
    """Nothing is written then; the exit code is that of a token."""
    place.token.chmod(0o644)
    assert run(*options(place, "--algorithm", "copy-image"))[0] == 77
    place.token.chmod(0o600)
    place.token.write_text("0" * 64)
    assert run(*options(place, "--algorithm", "copy-image"))[0] == 77
    assert list(place.folder.iterdir()) == []


def test_without_a_token_file_the_environment_serves(place, run, monkeypatch):
    """Then the config names no file: the daemon is to have the same environment."""
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", f"BEARER {place.sandbox.token}")
    arguments = ("init", "--url", place.sandbox.url, "--algorithm", "copy-image")
    assert run(*arguments)[0] == 0
    assert config.load(place.file).platform.token_file is None
    assert place.sandbox.token not in place.file.read_text()


def test_the_next_commands_name_a_file_that_would_not_be_found(place, run):
    """They can be pasted into a shell as they are."""
    file = place.folder / "my config" / "a.toml"
    _, out, _ = run(*options(place, "--algorithm", "copy-image", "--config", file))
    assert out.splitlines() == [f"gcwatch {each} --config '{file}'" for each in ("check", "run")]
    assert config.load(file).routes[0].inbox == file.parent / "copy-image" / "in"


# --- added to a config that exists ----------------------------------------------------------------


@pytest.fixture
def written(place, run):
    """A config that somebody has commented, with one route."""
    assert run(*options(place, "--algorithm", "copy-image", "--name", "lobes", *QUICK))[0] == 0
    place.file.write_bytes(
        b"# mine\n" + place.file.read_bytes() + b"  # the end, without a line end"
    )
    return place


def test_a_route_is_added_and_the_rest_stays_as_it_is(written, run):
    """The bytes before it are the same; both routes deliver."""
    before = written.file.read_bytes()
    written.file.chmod(0o640)
    more = ("--archive", "ct-archive", "--input", "ct-image=*.mha", *QUICK)

    code, out, _ = run("init", "--add", *more)

    assert (code, out) == (0, "gcwatch check\ngcwatch run\n")
    after = written.file.read_bytes()
    assert after.startswith(before + b"\n\n# Added by gcwatch init --add.\n[[route]]\n")
    assert mode(written.file) == 0o640
    assert [route.name for route in config.load(written.file).routes] == ["lobes", "ct-archive"]
    for name in ("lobes", "ct-archive"):
        patient = written.folder / name / "in" / "p1"
        patient.mkdir()
        (patient / "scan.mha").write_bytes(mha(*name.encode()))
    assert run("check")[0] == 0
    assert run("once")[0] == 0
    assert (written.folder / "lobes" / "out" / "p1" / "gcwatch.json").exists()
    assert (written.folder / "ct-archive" / "out" / "p1" / "gcwatch.json").exists()


def test_a_mirror_is_added_and_gets_a_name_of_its_own(written, run):
    """Line ends and the mark of a Windows editor stay; a name that is taken gets a number."""
    text = written.file.read_text().replace("\n", "\r\n")
    written.file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    for _ in range(2):
        assert run("init", "--add", "--mirror", "ct-archive")[0] == 0
    content = written.file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf# mine\r\n")
    assert content.count(b"\n") == content.count(b"\r\n")
    assert [each.name for each in config.load(written.file).mirrors] == [
        "ct-archive",
        "ct-archive-2",
    ]


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--archive", "ct-archive", "--url", "https://x.org/api/v1/"), 64, "--url does not go"),
        (("--algorithm", "copy-image", "--force"), 64, "--force does not go"),
        (("--algorithm", "no-such"), 78, "no-such"),
        (("--algorithm", "copy-image", "--inbox", "lobes/in"), 78, "overlaps"),
        (("--algorithm", "copy-image", "--name", "lobes"), 78, "is also the name"),
        ((), 64, "One target is needed"),
    ],
)
def test_what_can_not_be_added_changes_nothing(written, run, more, code, said):
    """The file and the folders are as they were."""
    before, folders = written.file.read_bytes(), sorted(written.folder.rglob("*"))
    found, out, err = run("init", "--add", *more)
    assert (found, out) == (code, "")
    assert said in err
    assert (written.file.read_bytes(), sorted(written.folder.rglob("*"))) == (before, folders)


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 78, "no config file"),
        (b"[[route]]\nname = 5\n", 78, "line 2"),
        (b'route = [{ name = "a", inbox = "i", outbox = "o", algorithm = "x" }]', 64, "one list"),
    ],
)
def test_a_config_that_can_not_be_added_to_is_told(place, run, content, code, said):
    """None, one with mistakes, and one whose routes are written on one line."""
    if content is not None:
        place.file.write_bytes(content)
    found, _, err = run("init", "--add", "--algorithm", "copy-image")
    assert found == code
    assert said in err
    assert content is None or place.file.read_bytes() == content


@pytest.mark.prove
def test_a_running_gcwatch_is_told_to_read_the_config_again(written, run):
    """The second command that is printed does that."""
    with subprocess.Popen([*PROGRAM, "run"], stderr=subprocess.PIPE, text=True) as daemon:
        try:
            until(lambda: running_daemon(written.folder / "state") == daemon.pid)
            code, out, _ = run("init", "--add", "--mirror", "ct-archive")
            assert (code, out.splitlines()[1]) == (0, f"kill -HUP {daemon.pid}")
        finally:
            daemon.terminate()
            daemon.communicate()


# --- for the service -----------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize(
    ("name", "unit"),
    [("gcwatch", "gcwatch"), pytest.param("ward", "gcwatch@ward", marks=pytest.mark.prove)],
)
def test_what_root_writes_for_the_service_serves_its_user(tmp_path, sandbox, name, unit):
    """Folders and state are the service's, the token stays root's; its user delivers a patient."""
    script = f"""
        test {name} = gcwatch || mv /etc/gcwatch/token /etc/gcwatch/{name}.token
        file=/etc/gcwatch/{name}.toml
        ./gcwatch init --config $file --algorithm copy-image --name lobes --url $URL \\
            --settle 0s --poll 50ms
        stat -c '%a %U %G %n' /etc/gcwatch/* /srv/gcwatch/lobes /srv/gcwatch/lobes/*
        stat -c '%a %U' {STATE / name if name != "gcwatch" else STATE}
        as_service ./gcwatch check --config $file > checked
        mkdir /srv/gcwatch/lobes/in/p1
        cp image.mha /srv/gcwatch/lobes/in/p1
        chown -R gcwatch: /srv/gcwatch/lobes/in/p1
        as_service ./gcwatch once --config $file 2> once.log
        ls /srv/gcwatch/lobes/out/p1/gcwatch.json
    """
    (tmp_path / "image.mha").write_bytes(mha())
    token = "token" if name == "gcwatch" else "ward.token"
    check, start, *rest = on_a_machine(tmp_path, sandbox, script).splitlines()
    assert check == (
        "systemd-run --pipe --wait --collect --uid=gcwatch "
        f"-p LoadCredential=gc-token:/etc/gcwatch/{token} "
        f"/opt/gcwatch check --config /etc/gcwatch/{name}.toml"
    )
    assert start == f"systemctl enable --now {unit}"
    assert rest == [
        *sorted(
            [f"600 root root /etc/gcwatch/{token}", f"640 root gcwatch /etc/gcwatch/{name}.toml"],
            key=lambda line: line.split()[-1],
        ),
        "2755 gcwatch gcwatch /srv/gcwatch/lobes",
        "2770 gcwatch gcwatch /srv/gcwatch/lobes/in",
        "2770 gcwatch gcwatch /srv/gcwatch/lobes/out",
        "700 gcwatch",
        "/srv/gcwatch/lobes/out/p1/gcwatch.json",
    ]
    assert "token_file" not in (tmp_path / "etc" / "gcwatch" / f"{name}.toml").read_text()


@needs_root
@pytest.mark.prove
def test_root_adds_a_route_whose_folders_hold_the_status_file(tmp_path, sandbox):
    """Owner and mode of the config stay; the service's user writes the report beside in and out."""
    script = """
        file=/etc/gcwatch/gcwatch.toml
        ./gcwatch init --config $file --mirror ct-archive --url $URL > first
        ./gcwatch init --config $file --add --algorithm copy-image --name lobes \\
            --settle 0s --poll 50ms
        stat -c '%a %U %G %n' $file
        sed -i 's|^name = "lobes"|&\\nreport = "/srv/gcwatch/lobes/status.txt"|' $file
        as_service ./gcwatch once --config $file 2> once.log
        stat -c '%a %U %G %n' /srv/gcwatch/lobes/status.txt
    """
    check, follow, *rest = on_a_machine(tmp_path, sandbox, script).splitlines()
    assert check.endswith("check --config /etc/gcwatch/gcwatch.toml")
    assert follow == "systemctl reload gcwatch"
    assert rest == [
        "640 root gcwatch /etc/gcwatch/gcwatch.toml",
        "640 gcwatch gcwatch /srv/gcwatch/lobes/status.txt",
    ]


@needs_root
def test_where_the_service_needs_a_drop_in_that_is_said(tmp_path, sandbox):
    """Outside /srv/gcwatch the unit lets nobody write."""
    script = """
        init() { ./gcwatch init --config /etc/gcwatch/$1.toml --force --mirror ct-archive \\
            --url $URL --token-file /etc/gcwatch/token ${@:2} 2>&1; }
        init gcwatch --outbox /srv/kept
        init gcwatch --outbox /srv/gcwatch/kept | grep drop-in && exit 1
        init ward
        grep token_file /etc/gcwatch/ward.toml
    """
    said = on_a_machine(tmp_path, sandbox, script)
    assert said.count("drop-in") == 1
    assert 'token_file = "token"' in said  # a file that is not the unit's has to be named


@needs_root
def test_without_the_services_user_nothing_is_asked(tmp_path, sandbox):
    """Whoever has not installed the service yet hears what makes its user."""
    script = """
        cp /etc/passwd passwd && grep -v gcwatch passwd > /etc/passwd
        ./gcwatch init --config /etc/gcwatch/gcwatch.toml --mirror a 2>&1 || test $? = 64
        ls /etc/gcwatch
    """
    sandbox.forget_calls()
    said = on_a_machine(tmp_path, sandbox, script)
    assert said.startswith("There is no user gcwatch on this machine.")
    assert said.endswith("\ntoken\n")
    assert sandbox.calls() == []


# --- the text ------------------------------------------------------------------------------------


def test_the_text_says_what_was_chosen_whatever_it_is(tmp_path):
    """Quotes, emoji, DEL, nested values: the file reads back as the choices."""
    inputs = {
        "a": Glob('**/"\U0001fac1\x7f\\*'),
        "b": JsonFile("v\u00e4lue.json"),
        "c": Constant({"x y": [1, 0.5, True, "\n"], "z": {}}),
        "d": Constant(1e20),
    }
    choices = Choices(
        file=tmp_path / "gcwatch.toml",
        state=tmp_path / "state",
        platform=config.Platform(token_file=tmp_path / "token", proxy="http://proxy:3128"),
        kind="archive",
        slug="ct-archive",
        name="up",
        inbox=tmp_path / 'in "1"',
        outbox=tmp_path.parent / "elsewhere",
        inputs=inputs,
        settle="1m",
    )
    settings = first_config.settings(choices)
    assert settings.platform == choices.platform
    [route] = settings.routes
    assert route.inputs == inputs
    assert (route.inbox, route.outbox, route.settle) == (choices.inbox, choices.outbox, 60.0)


@pytest.mark.parametrize("what", ["**/*.dcm", "@limit.json", "0.5", '{"a": [1, null]}', '"text"'])
def test_what_a_socket_gets_is_shown_as_it_is_typed(what):
    """What is proposed in a dialogue can be typed."""
    assert first_config.source_text(first_config.read_source(what)) == what


def test_a_name_is_made_of_any_slug():
    """Slugs may hold what names of routes may not."""
    names = [first_config.name_of(slug) for slug in ("Lobe_Seg.v2", "-x-", "___", "a" * 50)]
    assert names == ["lobe-seg-v2", "x", "route", "a" * 40]


def test_choices_that_clash_are_told_without_lines(tmp_path):
    """Nobody has seen the file yet."""
    choices = Choices(
        file=tmp_path / "gcwatch.toml",
        state=tmp_path / "state",
        platform=config.Platform(),
        kind="algorithm",
        slug="x",
        name="x",
        inbox=tmp_path / "in",
        outbox=tmp_path / "in" / "out",
    )
    with pytest.raises(ConfigError) as error:
        first_config.settings(choices)
    assert [each.line for each in error.value.problems] == [None]


# --- what there is to choose from ----------------------------------------------------------------


@pytest.fixture
def platform(sandbox, tmp_path):
    site = Site(tmp_path / "site", sandbox)
    found = connect(config.load(site.file))
    yield found
    found.close()


def test_what_the_token_sees_is_told_apart_by_what_it_may_do(platform):
    """All that can be seen, nothing that can't, with the right to use it."""
    algorithms = {each.slug: each.usable for each in first_config.offers(platform, "algorithm")}
    assert algorithms["copy-image"]
    assert algorithms["forbidden"] is False
    studies = {each.slug: each.usable for each in first_config.offers(platform, "reader_study")}
    assert studies == {"lung-study": True, "second-study": True, "readers-only": False}
    archives = {each.slug: each.usable for each in first_config.offers(platform, "archive")}
    assert (archives["uploads-only"], archives["public-archive"]) == (True, False)
    assert "hidden-archive" not in archives
    assert all(each.usable for each in first_config.offers(platform, "mirror"))


def test_asking_for_rights_makes_nothing(platform, sandbox):
    """No job, display set or item comes of a look."""
    for kind in first_config.KINDS:
        first_config.offers(platform, kind)
    state = sandbox.state()
    assert not state["jobs"]
    assert not any(call["applied"] for call in sandbox.calls() if call["method"] != "GET")


def test_check_tells_what_the_token_may_do(sandbox, tmp_path):
    """Whose it is, and for each route what it may."""
    site = Site(tmp_path / "site", sandbox)
    said = [each.detail for each in check.check(config.load(site.file))]
    assert any("of alice" in each for each in said)
    assert any(each.endswith("the token may run it") for each in said)


# --- by asking -----------------------------------------------------------------------------------


ON_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def converse(place, arguments, answers):
    """Run init on a terminal of its own; answer each question once it stands there."""
    screen, terminal = pty.openpty()
    # A password is read from /dev/tty: the terminal has to be the one that controls the process.
    with subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, *PROGRAM, "init", *map(str, arguments)],
        stdin=terminal,
        stderr=terminal,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=place.folder,
    ) as process:
        os.close(terminal)
        try:
            shown = "".join(dialogue(screen, answers))
            out = process.stdout.read()
        except BaseException:
            process.kill()  # it would wait for an answer for ever
            raise
    return process.returncode, out, shown


def dialogue(screen, answers):
    """Answer each question; yield all that is shown."""
    for question, answer in answers:
        asked = ""
        while question not in asked:
            assert select.select([screen], [], [], 60)[0], f"{question} is not asked: {asked}"
            asked += _read(screen)
        if question == "Token":  # what is typed before the echo is off is thrown away
            until(lambda: not termios.tcgetattr(screen)[3] & termios.ECHO)
        os.write(screen, f"{answer}\n".encode())
        yield asked
    yield from rest(screen)


def _read(screen):
    """What has come; a letter may be cut in two at the end of it."""
    return os.read(screen, 4096).decode(errors="replace")


def rest(screen):
    while True:
        try:
            yield _read(screen)
        except OSError:  # the other side is closed
            os.close(screen)
            return


def test_init_asks_and_never_shows_the_token(place, run):
    """A wrong token is asked for again; what is chosen by number and by name works as it is."""
    answers = [
        ("platform's API", "ftp://x"),
        ("platform's API", place.sandbox.url),
        ("Token", "0" * 64),
        ("Token", place.sandbox.token),
        ("What do you want to do?", "1"),
        ("Which algorithm?", "no-such"),
        ("Which algorithm?", "two-ways"),
        ("Name", ""),
        ("Inbox", "drop"),
        ("Outbox", ""),
        ("Which set of inputs?", "2"),
        ("Source of ct-image (Image)", "*.mha"),
        ("Source of threshold (Float)", "0.5"),
        ("Write", "y"),
    ]
    code, out, shown = converse(place, QUICK, answers)
    assert (code, out) == (0, "gcwatch check\ngcwatch run\n"), shown
    assert place.sandbox.token not in shown + place.file.read_text()
    assert mode(place.folder / "token") == 0o600
    assert "forbidden (Forbidden) - this token may not use it" in shown
    [route] = config.load(place.file).routes
    assert (route.name, route.inbox) == ("two-ways", place.folder / "drop")
    assert route.inputs == {"ct-image": Glob("*.mha"), "threshold": Constant(0.5)}
    assert run("check")[0] == 0


def test_init_asks_which_sockets_of_an_archive_to_fill(place, run):
    """Sockets are named until nothing is; one that is not there is asked for again."""
    answers = [
        ("What do you want to do?", "3"),
        ("Which archive?", "ct-archive"),
        ("Name", "up"),
        ("Inbox", ""),
        ("Outbox", ""),
        ("Socket to fill", "no-such"),
        ("Socket to fill", "ct-image"),
        ("Source of ct-image (Image)", ""),
        ("Next socket", "threshold"),
        ("Source of threshold (Float)", ""),
        ("Next socket", ""),
        ("Write", "y"),
    ]
    code, _, shown = converse(place, options(place)[1:], answers)
    assert code == 0, shown
    [route] = config.load(place.file).routes
    assert route.inputs == {"ct-image": Glob("**/*"), "threshold": JsonFile("threshold.json")}
    assert run("check")[0] == 0


def test_whoever_says_no_at_the_end_has_no_config(place):
    """What would be written is shown first."""
    answers = [("Name", ""), ("Inbox", ""), ("Outbox", ""), ("Source of", ""), ("Write", "n")]
    arguments = (*options(place)[1:], "--algorithm", "copy-image")
    code, out, shown = converse(place, arguments, answers)
    assert (code, out) == (1, "")
    assert 'algorithm = "copy-image"' in shown
    assert list(place.folder.iterdir()) == []


# --- the token while gcwatch runs ----------------------------------------------------------------


def test_a_running_daemon_goes_on_with_a_new_token(sandbox, tmp_path):
    """The platform's token changes and then the file: no start in between, no case fails."""
    site = Site(tmp_path / "site", sandbox)
    site.listen()
    site.drop("p1")
    with site.running():
        until(lambda: "p1" in site.delivered())
        with sandbox.platform_state.lock:
            sandbox.platform_state.users[0].token = "f" * 64
        fresh = tmp_path / "fresh"
        fresh.touch(0o600)
        fresh.write_text("f" * 64)
        fresh.replace(site.token)
        site.drop("p2")
        until(lambda: "p2" in site.delivered())
    assert "f" * 64 not in (site.folder / "log.jsonl").read_text()


def test_a_process_leaves_no_core_and_has_no_token_in_its_arguments(sandbox, tmp_path):
    """What a crash could leave on the disk would hold the token."""
    site = Site(tmp_path / "site", sandbox)
    with subprocess.Popen(
        [*PROGRAM, "run", "--config", str(site.file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            until(lambda: running_daemon(site.state) == process.pid)
            about = Path(f"/proc/{process.pid}")
            limits = (about / "limits").read_text().splitlines()
            [core] = [line.split() for line in limits if line.startswith("Max core")]
            assert core[4:6] == ["0", "0"]
            assert sandbox.token not in (about / "cmdline").read_text()
        finally:
            process.kill()
