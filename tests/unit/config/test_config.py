"""A config file becomes settings, or every problem at once, each with its place."""

import json
import os
import re
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.checkout import ROOT

from gcwatch import config
from gcwatch.core.errors import ConfigError

ROUTE = """
[[route]]
name = "lobes"
inbox = "in"
outbox = "out"
algorithm = "lobe-segmentation"
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch, tmp_path):
    for name in (
        "GCWATCH_CONFIG",
        "STATE_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        "GRAND_CHALLENGE_AUTHORIZATION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="load")
def _load(tmp_path):
    def load(text):
        file = tmp_path / "gcwatch.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return config.load(file)

    return load


@pytest.fixture(name="problems")
def _problems(load):
    def problems(text):
        with pytest.raises(ConfigError) as caught:
            load(text)
        return caught.value.problems

    return problems


@pytest.fixture(name="problem")
def _problem(problems):
    def problem(text):
        [only] = problems(text)
        return only

    return problem


def another(name="nodules", inbox="in2", outbox="out2", rest=""):
    """A second route."""
    own = ROUTE.replace("lobes", name).replace('= "out"', f'= "{outbox}"')
    return own.replace('inbox = "in"', f'inbox = "{inbox}"') + rest


def mirror(name="cts", archive="ct-archive", outbox="cts"):
    """A mirror's table."""
    return f"""
[[mirror]]
name = "{name}"
archive = "{archive}"
outbox = "{outbox}"
"""


MIRROR = mirror()
TAKING = another(inbox="cts") + 'after = "delete"'
GONE = 'gone = "move"\ngone_to = "{}"'


# --- what a file says -----------------------------------------------------------------------------


def test_smallest_file_has_defaults(load, tmp_path):
    """One route with its four required keys is a whole config."""
    settings = load(ROUTE)
    [route] = settings.routes
    assert settings.file == tmp_path / "gcwatch.toml"
    assert settings.state == tmp_path / "home/.local/state/gcwatch"
    assert settings.platform.url == "https://grand-challenge.org/api/v1/"
    assert (settings.limits.cases, settings.limits.connections) == (4, 16)
    assert (settings.log.folder_names, settings.log.level, settings.log.file) == (
        False,
        "info",
        None,
    )
    assert (route.name, route.algorithm, route.cases) == ("lobes", "lobe-segmentation", "folders")
    assert (route.inbox, route.outbox, route.done) == (tmp_path / "in", tmp_path / "out", None)
    assert (route.settle, route.ready, route.poll) == (30.0, None, config.Every(60.0))
    assert (route.names, route.after, route.ignore) == ("opaque", "keep", ())
    assert (route.deidentify, route.inputs) == (True, None)


def test_every_key_is_read(load, tmp_path):
    """What each key says arrives in the settings."""
    settings = load("""
        state = "~/state"
        [platform]
        url = "http://127.0.0.1:8000/api/v1"
        token_file = "token"
        ca_bundle = "/etc/ca.pem"
        proxy = "http://user:pass@proxy:3128"
        [limits]
        cases = 64
        connections = 1
        [log]
        folder_names = true
        level = "debug"
        file = "log.jsonl"
        [[route]]
        name = "a"
        inbox = "../in"
        outbox = "/out"
        algorithm = "x"
        settle = "1h30m"
        ready = "READY.txt"
        poll = "0 7 * * mon-fri"
        names = "keep"
        after = "move"
        done = "done"
        ignore = ["*.txt", "a/**"]
        deidentify = false
        inputs = { ct = "**/*.dcm", volume = { json = "v.json" }, t = { value = { a = [1, 0.5] } } }
        """)
    [route] = settings.routes
    assert settings.state == tmp_path / "home/state"
    assert settings.platform.url == "http://127.0.0.1:8000/api/v1/"
    assert settings.platform.token_file == tmp_path / "token"
    assert settings.platform.ca_bundle == Path("/etc/ca.pem")
    assert settings.platform.proxy == "http://user:pass@proxy:3128"
    assert (settings.limits.cases, settings.limits.connections) == (64, 1)
    assert (settings.log.folder_names, settings.log.level) == (True, "debug")
    assert settings.log.file == tmp_path / "log.jsonl"
    assert (route.inbox, route.outbox) == (tmp_path / "../in", Path("/out"))
    assert (route.settle, route.ready) == (5400.0, "READY.txt")
    assert route.poll == config.Cron("0 7 * * mon-fri")
    assert (route.names, route.after, route.done) == ("keep", "move", tmp_path / "done")
    assert (route.ignore, route.deidentify) == (("*.txt", "a/**"), False)
    assert route.inputs == {
        "ct": config.Glob("**/*.dcm"),
        "volume": config.JsonFile("v.json"),
        "t": config.Constant({"a": [1, 0.5]}),
    }


def test_byte_order_mark_and_crlf_are_read(load):
    """A file out of a Windows editor is as good as another."""
    text = b"\xef\xbb\xbf" + ROUTE.replace("\n", "\r\n").encode()
    assert load(text).routes[0].name == "lobes"


def test_missing_inbox_is_no_problem(load):
    """A share may be unmounted when the config is read."""
    assert not load(ROUTE).routes[0].inbox.exists()


def test_settings_are_frozen(load):
    """Nobody changes the settings under way."""
    with pytest.raises(AttributeError):
        load(ROUTE).state = Path("/")
    with pytest.raises(ValueError, match="frozen"):
        load(ROUTE).routes[0].name = "x"


def test_routes_can_be_made_in_python(tmp_path):
    """Without a file, seconds are numbers and values are objects."""
    route = config.Route(
        name="a",
        inbox=tmp_path,
        outbox=tmp_path / "x",
        algorithm="a",
        settle=0.5,
        poll=config.Every(1),
        inputs={"ct": config.Glob("*")},
    )
    assert (route.settle, route.poll, route.inputs) == (
        0.5,
        config.Every(1),
        {"ct": config.Glob("*")},
    )


def test_state_comes_from_systemd(load, monkeypatch):
    """Without `state`, the first of $STATE_DIRECTORY is it."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert load(ROUTE).state == Path("/var/lib/a")


# --- durations and schedules ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("250ms", 0.25), ("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("2d", 172800.0), ("0s", 0)],
)
def test_duration_is_seconds(load, written, seconds):
    """A duration string is read as seconds."""
    assert load(ROUTE + f'settle = "{written}"').routes[0].settle == seconds


@given(st.integers(0, 59), st.integers(0, 59), st.integers(0, 23))
def test_duration_units_add_up(seconds, minutes, hours):
    """Hours, minutes and seconds of one duration are summed."""
    route = config.Route(
        name="a",
        inbox="/a",
        outbox="/b",
        algorithm="a",
        settle=f"{hours}h{minutes}m{seconds}s",
    )
    assert route.settle == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    "written",
    [
        "30",
        '"30"',
        '""',
        '"30 s"',
        '"s"',
        '"-3s"',
        '"1m1h"',
        '"30s\\n"',
        '"٣s"',
        "true",
        '"9999999d"',
    ],
)
def test_bad_duration_is_refused_with_a_hint(problem, written):
    """Numbers without a unit, and what is no duration, are told how to write one."""
    found = problem(ROUTE + f"settle = {written}")
    assert (found.path, found.message) == ("route 'lobes': settle", "must be a duration")
    assert '"30s"' in found.hint
    assert found.line == 7


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("60", "duration or a cron"),
        ('"often"', "duration or a cron"),
        ('"0s"', "more than 0"),
        ('"61 * * * *"', "higher than"),
        ('"0 0 * * 1-5"', "names"),
        ('"0 0 * * */2"', "names"),
        ('"0 0 31 2 *"', "never comes"),
        ('"a b c d e"', "not a cron"),
    ],
)
def test_bad_poll_is_refused_with_a_hint(problem, written, says):
    """A schedule that is none, never comes, or is read differently by crons, is refused."""
    found = problem(ROUTE + f"poll = {written}")
    assert found.path == "route 'lobes': poll"
    assert says in found.message
    assert found.hint


def test_every_comes_after_its_seconds():
    """`Every` is that many seconds later."""
    assert config.Every(60).after(1000.0) == 1060.0


def test_cron_comes_at_the_local_time():
    """`Cron` is the next such time on this machine's clock, strictly later than now."""
    monday = datetime(2026, 7, 6, 7, 30).astimezone()
    cron = config.Cron("30 7 * * mon")
    assert cron.after(monday.timestamp() - 60) == monday.timestamp()
    later = datetime.fromtimestamp(cron.after(monday.timestamp())).astimezone()
    assert (later.day, later.hour, later.minute) == (13, 7, 30)


# --- one problem each -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["name", "inbox", "outbox", "algorithm"])
def test_missing_key_is_told_with_its_meaning(problem, key):
    """A required key that is not there is a problem at its table, with what it means."""
    text = "\n".join(line for line in ROUTE.splitlines() if not line.startswith(key))
    found = problem(text)
    assert (found.path.rpartition(": ")[2], found.message) == (key, "is missing")
    assert found.line == 2
    assert found.hint


@pytest.mark.parametrize(
    ("line", "path", "says"),
    [
        ('name = "-lobes"', "name", "not a valid name"),
        ('name = "Lobes"', "name", "not a valid name"),
        (f'name = "{"a" * 41}"', "name", "not a valid name"),
        ('inbox = ""', "inbox", "path"),
        ("inbox = 3", "inbox", "path"),
        ('inbox = "a\\u0000b"', "inbox", "path"),
        ('inbox = "~nobody-here/in"', "inbox", "home"),
        ('algorithm = "https://x/y"', "algorithm", "slug"),
        ('algorithm = ""', "algorithm", "slug"),
    ],
)
def test_bad_required_value_is_refused(problem, line, path, says):
    """Names, paths and slugs that can't be right are refused where they stand."""
    text = re.sub(rf"(?m)^{path} = .*$", line.replace("\\", r"\\"), ROUTE)
    found = problem(text)
    assert found.path.endswith(f": {path}")
    assert says in found.message
    assert found.hint
    assert text.splitlines()[found.line - 1] == line


@pytest.mark.parametrize(
    ("line", "path", "says"),
    [
        ('cases = "slices"', "cases", "'folders', 'files' or 'series'"),
        ('ready = "a/READY"', "ready", "plain name"),
        ('ready = ".."', "ready", "plain name"),
        ('ready = ""', "ready", "plain name"),
        ('names = "real"', "names", "'opaque' or 'keep'"),
        ('after = "burn"', "after", "'keep', 'move' or 'delete'"),
        ('after = "move"', "done", "needed"),
        ('done = "x"', "done", "only"),
        ('ignore = "*.txt"', "ignore", "list"),
        ('ignore = ["/x"]', "ignore[0]", "inside"),
        ('ignore = ["*", 3]', "ignore[1]", "string"),
        ('deidentify = "no"', "deidentify", "boolean"),
        ("inputs = {}", "inputs", "at least 1"),
        ("inputs = 3", "inputs", "table"),
        ('inputs."c t" = "*"', "inputs.c t", "slug"),
        ('inputs.ct = ""', "inputs.ct", "inside"),
        ('inputs.ct = "../*"', "inputs.ct", "inside"),
        ('inputs.ct = "/etc/*"', "inputs.ct", "inside"),
        ('inputs.ct = { json = "/etc/x" }', "inputs.ct", "inside"),
        ("inputs.ct = 0.5", "inputs.ct", "not a source"),
        ('inputs.ct = { glob = "*" }', "inputs.ct", "not a source"),
        ('inputs.ct = { value = 1, json = "x" }', "inputs.ct", "not a source"),
        ("inputs.ct = { value = 2026-01-01 }", "inputs.ct", "JSON"),
        ("inputs.ct = { value = [{ a = 07:30:00 }] }", "inputs.ct", "JSON"),
        ("inputs.ct = { value = inf }", "inputs.ct", "JSON"),
        ("inputs.ct = { files = 3 }", "inputs.ct", "not a source"),
        ('inputs.ct = { files = "*", optional = "no" }', "inputs.ct", "not a source"),
        ("inputs.ct = { value = 3, optional = true }", "inputs.ct", "not a source"),
        ('inputs.ct = { socket = "c t" }', "inputs.ct", "slug"),
        ('inputs.ct = { socket = "ct" }', "inputs", "uses images again"),
        ('reader_study = "x"\ninputs.ct = "*"', "reader_study", "beside algorithm"),
        ('archive = "x"\ninputs.ct = "*"', "archive", "beside algorithm"),
        ('window = "20:00-06:00"', "window", "not a known key"),
        ('reuse = "yes"', "reuse", "boolean"),
        ("leftovers = true", "leftovers", "warn"),
        ('integrity = "repair"', "integrity", "refuse"),
        ('title = "{key}"', "title", "for a reader study or archive"),
        ("order = 3", "order", "for a reader study"),
    ],
)
def test_bad_route_value_is_refused(problem, line, path, says):
    """Each key of a route refuses what it can't mean, at its line."""
    found = problem(ROUTE + line)
    assert found.path == f"route 'lobes': {path}"
    assert says in found.message
    assert found.hint
    assert found.line == (2 if line == 'after = "move"' else 7)


@pytest.mark.parametrize(
    "url",
    [
        "http://grand-challenge.org/api/v1/",
        "http://127.0.0.1.evil.org/",
        "http://10.0.0.1/",
        "http://[::2]/",
        "ftp://grand-challenge.org/",
        "grand-challenge.org",
        "https://",
        "https://x:99999/",
        "https://[::1/",
        "https://a b/",
        "https://user:s3cr3t@grand-challenge.org/",
        "https://grand-challenge.org/?token=s3cr3t",
        "https://grand-challenge.org/#s3cr3t",
        "https://kr\u00e4nkenhaus.example/api/v1/",
        "https://\u2488.example/api/v1/",
        "https://x:-1/",
        "https://x:0/",
        "https://x:port/",
        "https://[::1%25eth0/",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://0x7f.1/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "",
    ],
)
def test_bad_url_is_refused(problem, url):
    """The token goes over https to a plain address or to this machine; nothing is repeated."""
    found = problem(f'[platform]\nurl = "{url}"' + ROUTE)
    assert (found.path, found.line) == ("platform.url", 2)
    assert found.hint
    assert "s3cr3t" not in found.message + found.hint


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/",
        "http://127.9.9.9/",
        "http://[::1]:80/",
        "http://localhost/api/v1/",
        "https://gc.example/api/v1/",
    ],
)
def test_good_url_is_kept(load, url):
    """Https anywhere and plain http on this machine are fine."""
    assert load(f'[platform]\nurl = "{url}"' + ROUTE).platform.url == url


@pytest.mark.parametrize("number", ["0", "65", "4.0", '"4"', "true"])
@pytest.mark.parametrize("key", ["cases", "connections"])
def test_bad_limit_is_refused(problem, key, number):
    """Limits are whole numbers from 1 to 64."""
    found = problem(f"[limits]\n{key} = {number}" + ROUTE)
    assert (found.path, found.line) == (f"limits.{key}", 2)


def test_typing_slip_is_recognised(problem):
    """An unknown key gets the known one that is meant."""
    found = problem(ROUTE + 'setle = "3s"')
    assert (found.message, found.hint) == ("is not a known key", "did you mean settle?")


def test_unknown_key_without_likeness_lists_the_known(problem):
    """An unknown key unlike any other gets the list."""
    assert "inbox, source, outbox" in problem(ROUTE + "xyzzy = 1").hint


def test_key_below_its_place_is_told_where_it_belongs(problem):
    """A key of the top, written below a table, is told to go up."""
    assert "top of the file" in problem('[log]\nstate = "x"' + ROUTE).hint


@pytest.mark.parametrize("key", ["file", "routes", "mirrors"])
def test_unknown_top_key_is_refused(problem, key):
    """The top of the file knows state and the tables, nothing else."""
    found = problem(f"{key} = 1" + ROUTE)
    assert (found.path, found.message, found.line) == (key, "is not a known key", 1)


def test_mirrors_need_no_route(load):
    """A config may only mirror; every key of a mirror arrives."""
    settings = load(
        MIRROR + 'every = "0 3 * * *"\nlayout = "flat"\nfolders = "pk"\n' + GONE.format("gone")
    )
    [found] = settings.mirrors
    assert not settings.routes
    assert (found.name, found.archive, found.outbox.name) == ("cts", "ct-archive", "cts")
    assert found.every == config.Cron("0 3 * * *")
    assert (found.layout, found.folders, found.gone) == ("flat", "pk", "move")
    assert found.gone_to.name == "gone"


def test_mirror_has_defaults(load):
    """Every six hours, a folder an item, named by its title; what left is kept."""
    [found] = load(MIRROR).mirrors
    assert found.every == config.Every(21_600.0)
    assert (found.layout, found.folders, found.gone) == ("items", "title", "keep")
    assert found.gone_to is None


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ('gone = "move"', "gone_to", "is needed"),
        ('gone_to = "x"', "gone_to", "is for"),
        ('layout = "round"', "layout", "must be"),
        ('every = "often"', "every", "duration"),
        ('inbox = "x"', "inbox", "not a known key"),
        ("folders = 3", "folders", "must be"),
    ],
)
def test_bad_mirror_value_is_refused(problem, line, key, says):
    """What is wrong is told with the mirror's name, the key and the line."""
    found = problem(MIRROR + line)
    assert (found.path, found.line) == (
        f"mirror 'cts': {key}",
        6 if key != "gone_to" or "x" in line else 2,
    )
    assert says in found.message


def test_a_mirror_may_feed_a_route(load):
    """Its folder is the route's inbox, as long as the route keeps what is there."""
    assert load(MIRROR + another(inbox="cts")).routes[0].inbox.name == "cts"


@pytest.mark.parametrize(
    ("text", "line"), [("", None), ("route = []", 1), ("[route]\nname = 'a'", 1), ("route = 3", 1)]
)
def test_route_is_at_least_one_double_bracket(problem, text, line):
    """No route, or one in single brackets, is told to write [[route]]."""
    found = problem(text)
    assert (found.path, found.line) == ("route", line)
    assert "[[route]]" in found.hint


@pytest.mark.parametrize("text", ["platform = 3", "[[platform]]", "platform = []"])
def test_table_that_is_none_is_refused(problem, text):
    """A table written as something else is told so."""
    found = problem(text + ROUTE)
    assert (found.path, found.message, found.line) == ("platform", "must be a table", 1)


def test_route_that_is_no_table_is_refused(problem):
    """A list of something else than tables is told so, by number."""
    assert problem("route = [3]").path == "route #1"


# --- all at once ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "path", "says"),
    [
        ("", "inputs", "needed for a reader study"),
        ('title = "{nope}"', "title", "nope"),
        ('title = "{key"', "title", "not a template"),
        ('title = " "', "title", "text"),
        ('title = "{folder}"', "title", "folder's name"),
        ('order = "{number}"', "order", "folder's name"),
        ("order = true", "order", "text"),
    ],
)
def test_bad_key_of_a_reader_study_is_refused(problem, lines, path, says):
    """Titles are templates of known fields; what tells the folder's name needs names = "keep"."""
    text = ROUTE.replace('algorithm = "lobe-segmentation"', 'reader_study = "study"')
    inputs = "" if path == "inputs" else '\ninputs.ct = "*.mha"'
    found = problem(text + lines + inputs)
    assert found.path == f"route 'lobes': {path}"
    assert says in found.message
    assert found.hint


def test_an_archive_has_no_order(problem):
    """What only display sets have is refused for archive items."""
    text = ROUTE.replace('algorithm = "lobe-segmentation"', 'archive = "store"')
    assert problem(text + 'order = 3\ninputs.ct = "*.mha"').path == "route 'lobes': order"


def test_sources_of_inputs_are_read(load):
    """A glob, files or JSON that may be absent, a value, and an image of the folder's receipt."""
    text = ROUTE.replace('algorithm = "lobe-segmentation"', 'archive = "store"\nreuse = true')
    lines = """inputs.a = "*.mha"
        inputs.b = { files = "*.pdf", optional = true }
        inputs.c = { json = "c.json", optional = true }
        inputs.d = { value = 3 }
        inputs.e = { socket = "ct-image" }"""
    route = load(text + lines).routes[0]
    assert route.inputs == {
        "a": config.Glob("*.mha"),
        "b": config.Glob("*.pdf", optional=True),
        "c": config.JsonFile("c.json", optional=True),
        "d": config.Constant(3),
        "e": config.Named("ct-image"),
    }
    assert (route.kind, route.target) == ("archive", "store")


def test_all_problems_come_at_once_in_order(problems):
    """Wrong values, unknown keys, missing keys and clashes come together, top to bottom."""
    found = problems(
        "[limits]\ncases = 99\nnope = 1"
        + ROUTE.replace('algorithm = "lobe-segmentation"\n', "settle = 3\n")
        + another(inbox="in/sub", rest='poll = "x"\nafter = "move"\nignore = 3\n')
        + '[log]\nlevel = "loud"'
    )
    assert [(each.line, each.path) for each in found] == [
        (2, "limits.cases"),
        (3, "limits.nope"),
        (4, "route 'lobes': algorithm"),
        (8, "route 'lobes': settle"),
        (10, "route 'nodules': done"),
        (12, "route 'nodules': inbox"),
        (15, "route 'nodules': poll"),
        (17, "route 'nodules': ignore"),
        (19, "log.level"),
    ]
    assert all(each.hint for each in found)


def test_clashes_are_found_beside_other_errors(problems):
    """A route with wrong values is still compared with the others."""
    found = problems(ROUTE + "settle = 3" + another(inbox="in", rest="poll = 3"))
    assert [each.path for each in found] == [
        "route 'lobes': settle",
        "route 'nodules': inbox",
        "route 'nodules': poll",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a = "x', 1),
        ("[platform]\nurl = https://x", 2),
        ("[log]\n\n[log]", 3),
        ("a = [1,\n2", 2),
        ('x = """\n\n', 1),
    ],
)
def test_syntax_error_is_one_problem_with_its_line(problem, text, line):
    """What is no TOML is one problem; the parser can't go on."""
    found = problem(text)
    assert found.message.startswith("is not valid TOML: ")
    assert found.line == line


def test_wrong_encoding_is_a_problem_with_its_line(problem):
    """A file in another encoding is told at its first wrong byte."""
    found = problem(b"# one\n# J\xf6rg\n")
    assert (found.message, found.line) == ("is not UTF-8", 2)


def test_unreadable_file_is_a_problem(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "absent.toml")
    assert caught.value.file == str(tmp_path / "absent.toml")
    assert "No such file" in caught.value.problems[0].message


def test_line_is_right_behind_tricky_text(problem):
    """Comments, multi-line values and headers inside strings do not shift lines."""
    text = '''
# [[route]]
state = "/var/lib/x" # [log]
[[route]]
name = "a"
inbox = """\\
  /in\\
"""
outbox = "/out"
algorithm = "x"
ignore = [ # [platform]
  "[[route]]",
  "x",
]
  [ route . "inputs" ] # here
  "ct" = { value = """
[log]
level = 1""" }
  b = { json = 3 }
[[ route ]]
name = "b"
inbox = "/in2"
outbox = "/out2"
algorithm = "x"
[route.inputs]
c."d".e = 3
'''
    found = problem(text.replace("b = { json = 3 }", "b = { value = 3 }"))
    assert (found.path, found.line) == ("route 'b': inputs.c", 26)
    assert text.splitlines()[25] == 'c."d".e = 3'


# --- clashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        (ROUTE.replace('"out"', '"in"'), "route 'lobes': outbox", "inside its own inbox"),
        (ROUTE.replace('"out"', '"in/out"'), "route 'lobes': outbox", "inside its own inbox"),
        (ROUTE.replace('"in"', '"out/in"'), "route 'lobes': inbox", "inside its own outbox"),
        (ROUTE + 'after = "move"\ndone = "in/done"', "route 'lobes': done", "sent again"),
        ('state = "in"' + ROUTE, "state", "inbox of route 'lobes'"),
        ('state = "out/state"' + ROUTE, "state", "outbox of route 'lobes'"),
        (ROUTE + another(name="lobes"), "route 'lobes': name", "route #1"),
        (ROUTE + another(inbox="in"), "route 'nodules': inbox", "sent twice"),
        (ROUTE + another(inbox="in/a"), "route 'nodules': inbox", "sent twice"),
        (ROUTE + another(inbox="in/../in/"), "route 'nodules': inbox", "sent twice"),
        (another(inbox="in/a") + ROUTE, "route 'lobes': inbox", "sent twice"),
        (ROUTE + another(outbox="in/a"), "route 'nodules': outbox", "inbox of route 'lobes'"),
        (ROUTE + another("b", "out", "in"), "route 'lobes': outbox", "leads back"),
        (ROUTE + mirror(name="lobes"), "mirror 'lobes': name", "route #1"),
        (MIRROR + mirror(outbox="other"), "mirror 'cts': name", "mirror #1"),
        (MIRROR + mirror(name="b"), "mirror 'cts': outbox", "outbox of mirror 'b'"),
        (MIRROR + mirror(name="b", outbox="cts/b"), "mirror 'cts': outbox", "outbox of mirror"),
        (ROUTE + mirror(outbox="out"), "mirror 'cts': outbox", "outbox of route 'lobes'"),
        (ROUTE + mirror(outbox="out/a"), "mirror 'cts': outbox", "outbox of route 'lobes'"),
        (ROUTE + mirror(outbox="in/a"), "mirror 'cts': outbox", "take it for a case"),
        (another(inbox="cts/in") + MIRROR, "route 'nodules': inbox", "folder of mirror 'cts'"),
        (TAKING + MIRROR, "route 'nodules': after", "for ever"),
        (another(inbox="cts") + MIRROR + 'layout = "flat"', "mirror 'cts': layout", "no folders"),
        (
            another(inbox='cts"\ncases = "files') + MIRROR,
            "route 'nodules': cases",
            "finds nothing in the folders",
        ),
        ('state = "cts/state"' + MIRROR, "state", "outbox of mirror 'cts'"),
        (MIRROR + GONE.format("cts/gone"), "mirror 'cts': gone_to", "outbox of mirror 'cts'"),
        (ROUTE + MIRROR + GONE.format("in/gone"), "mirror 'cts': gone_to", "would be sent"),
    ],
)
def test_clash_is_refused(problem, text, path, says):
    """Folders that get in each other's way are refused, each with a hint."""
    found = problem(text)
    assert found.path == path
    assert says in found.message
    assert found.hint


def test_clash_is_seen_through_links(problem, tmp_path):
    """Two names of one folder are one folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "alias").symlink_to("in")
    assert "sent twice" in problem(ROUTE + another(inbox="alias/sub")).message


def test_default_state_is_checked_too(problem, monkeypatch, tmp_path):
    """A state directory given by systemd must not lie in an inbox either."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "in"))
    assert problem(ROUTE).path == "state"


def test_circle_of_three_is_told_once(problem):
    """A longer circle is one problem that names the whole chain."""
    found = problem(another("a", "1", "2") + another("b", "2", "3") + another("c", "3", "1"))
    assert found.path == "route 'a': outbox"
    assert "route 'a', route 'b', route 'c'" in found.message


def test_tail_into_a_circle_is_not_blamed(problem):
    """A route that leads into a circle is no part of it."""
    found = problem(another("t", "0", "1") + another("a", "1", "2") + another("b", "2", "1"))
    assert found.path == "route 'a': outbox"


def test_routes_chain(load):
    """An outbox may be the next route's inbox."""
    assert len(load(ROUTE + another(inbox="out")).routes) == 2


def test_neighbours_do_not_overlap(load):
    """Names with a common beginning are different folders."""
    assert len(load(ROUTE + another(inbox="in-2")).routes) == 2


# --- finding the file -----------------------------------------------------------------------------


def test_file_is_found_in_order(monkeypatch, tmp_path):
    """The explicit file goes before the variable, the variable before the folder."""
    (tmp_path / "gcwatch.toml").touch()
    assert config.find() == tmp_path / "gcwatch.toml"
    monkeypatch.setenv("GCWATCH_CONFIG", "/a.toml")
    assert config.find() == Path("/a.toml")
    assert config.find(Path("b.toml")) == Path("b.toml")


def test_no_file_names_where_it_looked(tmp_path):
    """Without a file, the problem names every place."""
    if Path("/etc/gcwatch/gcwatch.toml").exists():
        pytest.skip("this machine has a config of its own")
    with pytest.raises(ConfigError) as caught:
        config.find()
    [problem] = caught.value.problems
    for place in ("$GCWATCH_CONFIG", str(tmp_path / "gcwatch.toml"), "/etc/gcwatch/gcwatch.toml"):
        assert place in problem.message


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("HTTPS://GC.Example/api/v1", "https://gc.example/api/v1/"),
        ("https://[2001:DB8::1]:8443/api/v1/", "https://[2001:db8::1]:8443/api/v1/"),
    ],
)
def test_an_origin_is_written_in_one_way(load, written, kept):
    """Else the token would not go to the platform: requests writes hosts in small letters."""
    assert load(f'[platform]\nurl = "{written}"' + ROUTE).platform.url == kept


def test_an_address_with_other_letters_is_given_as_it_is_sent(problem):
    """A name has two forms, and only one of them gets the token."""
    found = problem('[platform]\nurl = "https://kr\u00e4nken.example:8/api/v1/"' + ROUTE)
    assert "https://xn--krnken-cua.example:8/api/v1/" in found.hint


# --- the token ------------------------------------------------------------------------------------


@pytest.fixture(name="token_file")
def _token_file(tmp_path):
    file = tmp_path / "token"
    file.write_text("s3cr3t\n")
    file.chmod(0o600)
    return file


NAMED = '[platform]\ntoken_file = "token"\n'


@pytest.mark.parametrize("text", ["s3cr3t", "s3cr3t\n", "BEARER s3cr3t", " Token  s3cr3t \n"])
def test_token_is_the_last_of_one_or_two_words(load, token_file, text):
    """The token may come with its scheme, as the platform shows it."""
    token_file.write_text(text)
    assert config.read_token(load(NAMED + ROUTE)) == "s3cr3t"


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfs3cr3t\r\n", b"\n\n  s3cr3t\t\n"])
def test_a_token_may_be_saved_by_any_editor(load, token_file, content):
    """Editors of Windows write a mark before the text."""
    token_file.write_bytes(content)
    assert config.read_token(load(NAMED + ROUTE)) == "s3cr3t"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (None, "does not exist"),
        (Path.mkdir, "is a folder"),
        (os.mkfifo, "is a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to(path), "can't be read"),
        (lambda path: path.write_bytes(b"x" * 5000), "is too large"),
        (lambda path: path.write_bytes("s3cr3t".encode("utf-16")), "is saved as UTF-16"),
        (lambda path: path.write_bytes(bytes(range(1, 255))), "a text that is not a token"),
    ],
)
def test_what_is_no_token_file_is_told_at_once(load, token_file, make, told):
    """None of them blocks the start, fills the memory or is a traceback."""
    token_file.unlink()
    if make is not None:
        make(token_file)
    if token_file.is_file():
        token_file.chmod(0o600)
    with pytest.raises(ConfigError) as caught:
        config.read_token(load(NAMED + ROUTE))
    assert told in caught.value.problems[0].message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_open_token_file_is_refused(load, token_file, mode):
    """A token that others can read is refused, with the command that mends it."""
    token_file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        config.read_token(load(NAMED + ROUTE))
    [problem] = caught.value.problems
    assert (problem.path, problem.hint) == ("platform.token_file", f"chmod 600 {token_file}")


def test_a_token_in_place_of_its_file_is_not_repeated(load):
    """Who writes the token itself into the config is told so, without the token."""
    with pytest.raises(ConfigError) as caught:
        config.read_token(load(NAMED.replace('token"', f'{"5ec2e7aa" * 8}"') + ROUTE))
    assert "is a token" in caught.value.problems[0].message
    assert "5ec2e7aa" not in str(caught.value) + str(caught.value.problems)


def test_systemd_guards_its_credentials(load, token_file, monkeypatch, tmp_path):
    """Below $CREDENTIALS_DIRECTORY the file's own mode does not matter."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    token_file.chmod(0o644)
    assert config.read_token(load(NAMED + ROUTE)) == "s3cr3t"


def test_credential_is_used_before_the_variable(load, token_file, monkeypatch, tmp_path):
    """Without a token file: the credential gc-token, then the variable."""
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", "BEARER other")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load(ROUTE)
    assert config.read_token(settings) == "other"
    token_file.rename(tmp_path / "gc-token")
    assert config.read_token(settings) == "s3cr3t"


@pytest.mark.parametrize("text", ["", " \n", "s3cr3t a b", "BEARER s3cr3t\u00e9", "s3cr3t\x00"])
def test_no_token_names_all_three_ways(load, token_file, text):
    """An unusable token is told without repeating it, with every way to give one."""
    token_file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.read_token(load(NAMED + ROUTE))
    [problem] = caught.value.problems
    assert "s3cr3t" not in repr(caught.value) + str(caught.value) + repr(problem)
    for way in ("platform.token_file", "gc-token", "$GRAND_CHALLENGE_AUTHORIZATION"):
        assert way in problem.hint


@pytest.mark.parametrize("text", [NAMED + ROUTE, ROUTE])
def test_absent_token_is_a_config_error(load, text):
    """No file, no credential, no variable: a problem with every way to give one."""
    with pytest.raises(ConfigError) as caught:
        config.read_token(load(text))
    assert "gc-token" in caught.value.problems[0].hint


def test_settings_show_no_secret(load):
    """What is printed of the settings holds no password."""
    settings = load('[platform]\nproxy = "http://user:s3cr3t@proxy:3128"' + ROUTE)
    assert "s3cr3t" not in repr(settings)


# --- the example, the reference, the schema -------------------------------------------------------


def test_example_is_valid():
    """The shipped example loads."""
    assert config.load(ROOT / "config/gcwatch.toml").routes[0].name == "lobes"


def test_example_shows_every_key_and_default():
    """The example names each key, and a commented key shows its true default where it has one."""
    text = (ROOT / "config/gcwatch.toml").read_text()
    for table in config.schema()["$defs"].values():
        for key, entry in table["properties"].items():
            assert re.search(rf"(?m)^((# )?{key} = |\[route\.{key}\])", text), key
            if entry.get("default") is not None:
                assert f"# {key} = {json.dumps(entry['default'])}\n" in text


def test_uncommented_example_is_valid(load):
    """The commented keys of the example are right too."""
    text = (ROOT / "config/gcwatch.toml").read_text()
    text = re.sub(
        r"(?m)^# (algorithm|reader_study|archive|title|order|procedure|source) = .*\n", "", text
    )
    text = re.sub(r'(?m)^# (["a-z_-]+ = )', r"\1", text)
    text = re.sub(r"(?m)^(reuse|cases_table) = false", r"\1 = true", text)
    settings = load(re.sub(r'"keep"\n(done|gone_to)', r'"move"\n\1', text))
    assert settings.routes[0].done
    assert settings.mirrors[0].gone_to
    assert len(settings.routes[0].inputs) == 6


def test_reference_is_generated():
    """docs/configuration.md is what the models say."""
    assert (ROOT / "docs/configuration.md").read_text() == config.reference()


def test_schema_describes_every_key():
    """Editors show a description for each key, and know that no other key exists."""
    schema = config.schema()
    for table in (schema, *schema["$defs"].values()):
        assert table["additionalProperties"] is False
        for key, entry in table["properties"].items():
            named = json.dumps(entry)
            assert "description" in entry or "$ref" in named, key


def test_schema_patterns_agree_with_the_reader():
    """What the schema's patterns take, the reader takes, and what it refuses it refuses."""
    route = config.schema()["$defs"]["Route"]["properties"]
    pattern = route["settle"]["pattern"]
    assert all(re.search(pattern, each) for each in ("30s", "1h30m", "250ms"))
    assert not any(re.search(pattern, each) for each in ("30", "", "s", "1m1h"))
    polls = [each["pattern"] for each in route["poll"]["anyOf"]]
    assert any(re.search(each, "0 7 * * mon-fri") for each in polls)
    assert (route["settle"]["default"], route["poll"]["default"]) == ("30s", "60s")
