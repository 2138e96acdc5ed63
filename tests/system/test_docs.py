"""The docs say what is so: their commands are run, their names are looked up.

Whatever a page shows as code is of a kind that is tested (`BLOCKS`), and each command in a sentence
is typed as `TYPED` says, or stands in `HOST` with the reason why it is not run here.
"""

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tomllib
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from support.builders import Site, mha
from support.checkout import ROOT
from support.ports import free_port

from gcwatch import config, log
from gcwatch.cli.app import COMMANDS, load_command, main, options_of
from gcwatch.cli.errors import Exit
from gcwatch.core.checklist import CHECKLIST
from gcwatch.core.reasons import CATALOGUE
from gcwatch.core.temporary_names import TEMPORARY_NAMES
from gcwatch.files import patterns
from gcwatch.wording import case_view, metrics

README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
PORT = "8765"

FOLLOWED = ("README.md", "quickstart.md", "logs.md")
"""Pages whose blocks are done one after the other."""

BY_ITSELF = ("python.md",)
"""Pages whose blocks have a test of their own: tests/system/test_python_page.py."""

DONE = {
    "sh": lambda code: ["bash", "-euo", "pipefail", "-c", code],
    "sh background": lambda code: ["bash", "-c", f"exec {code}"],
    "python": lambda code: [sys.executable, "-c", code],
}
BLOCKS = {
    **dict.fromkeys(DONE, "done below, page by page"),
    "sh question": "asked of a journald and of a file by tests/system/test_journald.py",
    "console": "typed by root on a system of its own: each line is in HOST",
    "toml": "read as a config below",
    "sql": "run by tests/unit/commands/test_journal_check.py",
    "text": "to look at, not to type",
}

PACKAGED = "it installs: tests/system/test_deb.py does, in a Debian of its own"
BOOTED = "it is for a machine's root: tests/system/booted.py types it in a Debian of its own"
DICOM = "tests/system/test_dcmtk.py starts and asks what it names"
MAINTAINED = "tests/system/test_maintenance.py types it on a machine with the service's user"
CONTAINED = "it needs an engine; tests/system/test_image.py starts the image without one"
HOST = {
    r"(podman|docker) .*": CONTAINED,
    r"install -o 990 .*": CONTAINED,
    r"setpriv .* sqlite3 .*": MAINTAINED,
    r"install -o gcwatch .*": MAINTAINED,
    r"(cp --archive|rm --force|tar|chown --recursive) .*": MAINTAINED,
    r"python3 -m venv /opt/gcwatch/.*": BOOTED,
    r"install (-m|-d)( .*)?": BOOTED,
    r"apt install dcmtk": "the machine that tests run on may have it: tests/system/test_dcmtk.py",
    r"apt (install|remove|purge)( .*)?": PACKAGED,
    r"(/opt/gcwatch/.venv/bin/)?pip (install|download).*": "it needs a package index",
    r"kill -HUP": "tests/system/test_reload.py",
    r"cp /opt/gcwatch/systemd/.*": BOOTED,
    r"mkdir -p /etc/systemd/.*": BOOTED,
    r"systemd-sysusers && systemd-tmpfiles --create": BOOTED,
    r"systemd-run .* /opt/gcwatch/.venv/bin/gcwatch check": BOOTED,
    r"(pg_dump|dropdb|createdb|pg_restore) .*": "tests/system/test_restore.py",
    r"/opt/gcwatch/.venv/bin/gcwatch systemd( --instance ward)? > .*": BOOTED,
    r"systemctl .*": "it speaks to the machine's systemd; tests/system/booted.py has one",
    r"systemd-analyze security( gcwatch)?": "tests/system/test_service.py asks it of the files",
    r"(sudo -u gcwatch )?gcwatch health": "tests/unit/commands/test_health.py; 2 without a daemon",
    r"journalctl -u gcwatch.*": "tests/system/test_journald.py asks a journald of its own",
    r"editor .*": "a person's work",
    r"cp /usr/share/doc/gcwatch/examples/gcwatch-storescp.service .*": DICOM,
    r"dcmsend .*": DICOM,
    r"make [a-z-]+( [A-Z]+=.*)?": "CI, or a person, of the checkout that tests run in",
    r"gcwatch init --config /etc/gcwatch/gcwatch.toml": "tests/system/test_init.py, as root",
}
PROGRAMS = {
    *("gcwatch", "make", "systemctl", "systemd-run", "systemd-analyze", "journalctl", "runuser"),
    *("jq", "apt", "dpkg", "pip", "sudo", "chown", "install", "mkdir", "kill"),
}

PLATFORM = "--url $URL --token-file token"
TYPED = {
    "gcwatch --version": "gcwatch --version",
    "gcwatch schema": "gcwatch schema",
    "gcwatch init": f"gcwatch init --yes --config x/y.toml --mirror ct-archive {PLATFORM}",
    "gcwatch init --add": "gcwatch init --add --yes --config x/y.toml --mirror ct-archive",
    "gcwatch init --answers SLUG": (
        f"gcwatch init --yes --config x/z.toml --answers lung-study {PLATFORM}"
    ),
    "gcwatch init --algorithm SLUG --source SLUG": (
        "gcwatch init --yes --config x/s.toml --algorithm segment-lungs --source ct-archive "
        f"{PLATFORM}"
    ),
    "gcwatch check": "gcwatch check",
    "gcwatch check --alert": "gcwatch check",  # nobody is there to get one
    "gcwatch plan": "gcwatch plan",
    "gcwatch plan --show-removed": "gcwatch plan --show-removed",
    "gcwatch plan --show-removed p17": "gcwatch plan --show-removed p1",
    "gcwatch once": "gcwatch once",
    "gcwatch mirror NAME": "gcwatch mirror kept",
    "gcwatch audit": "gcwatch audit",
    "gcwatch status": "gcwatch status",
    "gcwatch status --json": "gcwatch status --json",
    "STATE_DIRECTORY=/var/lib/gcwatch/ward gcwatch status --config /etc/gcwatch/ward.toml": (
        "gcwatch status --config ward.toml"
    ),
    "gcwatch show CASE": "gcwatch show lobes/p1",
    "gcwatch retry --failed": "gcwatch retry --failed",
    "gcwatch retry": "gcwatch retry lobes/p1",
    "gcwatch retry CASE": "gcwatch retry lobes/p1",
    "gcwatch retry CASE…": "gcwatch retry lobes/p1 lobes/p2",
    "gcwatch withdraw": "gcwatch withdraw lobes/p2",
    "gcwatch withdraw CASE": "gcwatch withdraw lobes/p2",
    "gcwatch withdraw CASE…": "gcwatch withdraw lobes/p1 lobes/p2",
    "gcwatch journal prune": "gcwatch journal prune --older-than 2y",
    "gcwatch journal prune --older-than 2y": "gcwatch journal prune --older-than 2y",
    "gcwatch systemd": "gcwatch systemd",
    "gcwatch fetch reader-study SLUG DIR": f"gcwatch fetch reader-study lung-study read {PLATFORM}",
    "gcwatch fetch algorithm SLUG DIR": f"gcwatch fetch algorithm copy-image fetched {PLATFORM}",
    "gcwatch list algorithms": f"gcwatch list algorithms {PLATFORM}",
    "gcwatch list algorithms lung": f"gcwatch list algorithms lung {PLATFORM}",
    "gcwatch send PATH…": (
        f"gcwatch send in/p1 in/p2 --archive ct-archive {PLATFORM} --input ct-image=*.mha"
    ),
    "gcwatch send p17 --algorithm SLUG --output results": (
        f"gcwatch send p17 --algorithm copy-image --output results {PLATFORM}"
    ),
    "gcwatch demo": "",  # quickstart.md shows it, with --keep
    "gcwatch run": "",  # it goes on until it is told to end: below
    "gcwatch status --follow": "",
    "gcwatch sandbox": "",
}
"""What stands in sentences, and how somebody would type it, one after the other."""

SOME_FAIL = {"gcwatch once", "gcwatch send PATH…"}
"""Those that meet a patient who can't be sent."""


def blocks(page, *languages):
    """The code blocks of a page in these languages, each with its language."""
    found = re.findall(r"^```([\w ]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, code) for language, code in found if language in languages]


def sentences(page):
    """A page's text without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def in_sentences(page):
    """The commands that a page names in its sentences and tables."""
    for code in re.findall(r"`([^`]+)`", sentences(page)):
        words = [word for word in code.split() if not re.match("[A-Z_]+=", word)]
        if len(words) > 1 and words[0] in PROGRAMS:
            yield " ".join(code.split())


def of_root(page):
    """The lines that a page shows for root, or somebody, to type."""
    for _, code in blocks(page, "console"):
        yield from re.findall(r"^[#$] (.*)$", code, re.MULTILINE)


# --- commands ------------------------------------------------------------------------------------


def ended(process):
    """End a background command and all that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)
    process.stdout.close()


def shell(folder):
    """How somebody with a shell in a folder starts a command."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GCWATCH")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    return {"cwd": folder, "env": environment, "text": True, "start_new_session": True}


def follow(folder, *pages):
    """Do what the pages say, one block after the other, as somebody with a shell would."""
    port = str(free_port())
    where = shell(folder)
    with ExitStack() as stack:
        for language, code in [each for page in pages for each in blocks(page, *DONE)]:
            command = DONE[language](code.replace(PORT, port))
            if language == "sh background":
                process = subprocess.Popen(command, stdout=subprocess.PIPE, **where)
                stack.callback(ended, process)
                assert process.stdout.readline(), f"this did not start: {code}"
                continue
            done = subprocess.run(command, capture_output=True, check=False, timeout=250, **where)
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.timeout(900)
def test_what_the_readme_shows_works(tmp_path):
    """The first result, command by command."""
    follow(tmp_path, README)
    assert (tmp_path / "lobes" / "out" / "patient-1" / "gcwatch.json").exists()


@pytest.mark.timeout(900)  # some thirty commands, each a Python of its own
def test_what_the_quickstart_and_the_logs_page_show_works(tmp_path):
    """Demo, a route, a patient that is refused, Python, a case followed through the log."""
    follow(tmp_path, DOCS / "quickstart.md", DOCS / "logs.md")
    assert "sent" in (tmp_path / "lobes" / "out" / "patient-2.failed.txt").read_text()


@pytest.fixture
def ward(tmp_path, sandbox):
    """A folder where somebody types: a config with a route and a mirror, two patients, a token."""
    site = Site(tmp_path, sandbox)
    mirror = 'name = "kept"\narchive = "ct-archive"\noutbox = "kept"\n'
    site.file.write_text(f"{site.file.read_text()}\n[[mirror]]\n{mirror}")
    (tmp_path / "kept").mkdir()
    stateless = [line for line in site.file.read_text().splitlines() if "state =" not in line]
    (tmp_path / "ward.toml").write_text("\n".join(stateless))
    shutil.copytree(site.drop("p1", {"scan.mha": mha()}), tmp_path / "p17")
    site.drop("p2", {"p2.txt": b"no image"})
    return site


def test_what_sentences_name_works(ward, monkeypatch, capfd):
    """Each command that a sentence or a table names is typed, and does what it is for."""
    monkeypatch.chdir(ward.folder)
    monkeypatch.delenv("GCWATCH_CONFIG", raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", str(ward.state))
    for named, typed in TYPED.items():
        _, *arguments = typed.replace("$URL", ward.sandbox.url).split() or [""]
        if arguments:
            with pytest.raises(SystemExit) as end:
                main(arguments)
            expected = Exit.SOME_FAILED if named in SOME_FAIL else Exit.DONE
            assert (end.value.code or 0) == expected, f"{typed}\n{capfd.readouterr()}"
    assert (ward.folder / "results" / "p17" / "gcwatch.json").exists()


@contextmanager
def begun(folder, command):
    """A command that goes on until it is told to end; its first lines."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **shell(folder),
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)


def test_what_goes_on_begins_and_ends(ward):
    """The daemon and the status go on until SIGTERM and end well; the sandbox says where it is."""
    with begun(ward.folder, "gcwatch run") as daemon:
        assert any('"daemon.started"' in line for line in daemon.stdout)
    assert daemon.returncode == Exit.DONE
    with begun(ward.folder, "gcwatch status --follow") as followed:
        assert "No gcwatch is running here" in followed.stdout.readline()
    assert followed.returncode == Exit.DONE
    with begun(ward.folder, "gcwatch sandbox") as sandbox:
        assert json.loads(sandbox.stdout.readline())["url"].startswith("http://127.0.0.1")


def test_every_block_is_of_a_kind_that_is_tested():
    """A block without a language, or of a new one, or on a page that is not followed, fails."""
    for page in PAGES:
        opened = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)[::2]
        assert set(opened) <= set(BLOCKS), page.name
        assert not blocks(page, *DONE) or page.name in (*FOLLOWED, *BY_ITSELF), page.name
    assert {page.name for page in PAGES if blocks(page, "sh question")} == {"logs.md"}


def test_every_command_is_typed_or_has_a_reason():
    """Whoever writes a new one says how it is tested; what no page names any more is taken out."""
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    named = {each for page in pages for each in (*in_sentences(page), *of_root(page))}
    why = {each: [rule for rule in HOST if re.fullmatch(rule, each)] for each in named}
    new = sorted(each for each, rules in why.items() if not rules and each not in TYPED)
    assert new == [], "say in TYPED or HOST how it is tested"
    used = {rule for rules in why.values() for rule in rules}
    assert sorted((set(HOST) - used) | (set(TYPED) - named)) == [], "no page names it"


def test_every_command_that_is_named_exists():
    """No page names a command or an option that the program does not have."""
    commands = {name: load_command(name) for name in COMMANDS}
    for page in PAGES:
        for name, rest in re.findall(r"`gcwatch\s+([a-z]+)([^`]*)`", page.read_text()):
            assert name in commands, f"{page.name}: gcwatch {name}"
            known = options_of(commands[name])
            assert set(re.findall(r"--[a-z-]+", rest)) <= known, (
                f"{page.name}: gcwatch {name}{rest}"
            )


def test_every_make_target_that_is_named_exists():
    """`make demo` and `make test` come first; both are there."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"\bmake ([a-z]+)\s+#", README.read_text())
    assert named == ["demo", "test"]
    in_pages = {name for page in PAGES for name in re.findall("`make ([a-z-]+)`", page.read_text())}
    assert {*named, *in_pages} <= set(targets)


# --- names ---------------------------------------------------------------------------------------


def test_every_link_leads_somewhere():
    """Links between pages, and to their headings, do not break when pages move."""
    for page in PAGES:
        for target, heading in re.findall(r"\]\(([^)#:]*)#?([^)]*)\)", page.read_text()):
            if not target.startswith("http"):
                file = page.parent / target if target else page
                assert file.exists(), f"{page.name}: {target}"
                assert not heading or heading in headings(file), f"{page.name}: #{heading}"


def headings(page):
    """The headings of a page as links name them."""
    found = re.findall(r"^#+ (.*)$", sentences(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found}


def test_every_config_that_is_shown_is_a_config(tmp_path):
    """It is read without a mistake; the first that IT sees has twelve lines at most."""
    for page in PAGES:
        for _, text in blocks(page, "toml"):
            (tmp_path / "gcwatch.toml").write_text(text)
            loaded = config.load(tmp_path / "gcwatch.toml")
            assert loaded.routes or loaded.mirrors, page.name
    [(_, text)] = blocks(DOCS / "install.md", "toml")
    assert len([line for line in text.splitlines() if line.strip()]) <= 12


def test_every_key_that_the_pages_set_exists():
    """No page shows a key that the config would refuse."""
    keys = re.findall(r"^\| `(\w+)` \|", config.reference(), re.MULTILINE)
    for page in PAGES:
        for key in re.findall(r"`(\w+) = [^`]*`", page.read_text()):
            assert key in keys, f"{page.name}: {key}"


def test_every_exit_code_is_told():
    """The page on commands lists those of the program, in order."""
    page = (DOCS / "commands.md").read_text()
    told = re.findall(r"^\| (\d+) \|", page.partition("## Exit codes")[2], re.MULTILINE)
    assert list(map(int, told)) == sorted(Exit)


def test_every_command_is_told():
    """The page on commands has a line for each."""
    page = (DOCS / "commands.md").read_text()
    told = re.findall(r"^\| `gcwatch ([a-z]+)", page, re.MULTILINE)
    assert set(told) == set(COMMANDS)


def test_every_reason_is_in_the_troubleshooting():
    """The table is that of the catalogue, to the letter (`make docs` writes it)."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert page == case_view.page_with_reasons(page)
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(CATALOGUE)


def test_every_metric_is_in_the_page_on_the_service():
    """The table is that of the program, to the letter (`make docs` writes it)."""
    page = (DOCS / "service.md").read_text()
    assert page == metrics.page_with_metrics(page)
    assert all(f"| `{name}` |" in page for name in metrics.METRICS)


def test_every_page_can_be_found():
    """The README leads to each, in its table of where to read on, and fits on one screen."""
    assert len(README.read_text().splitlines()) <= 60
    table = README.read_text().partition("\n## Where to read on")[2]
    assert [page.name for page in DOCS.glob("*.md") if f"(docs/{page.name})" not in table] == []


def test_what_the_pages_quote_is_said():
    """The sentences by which somebody finds a row are the program's own."""
    page = (DOCS / "troubleshooting.md").read_text()
    rows = re.findall(r"^\|([^|]*)\|", page.partition("## All reasons")[0], re.MULTILINE)
    quoted = [phrase for row in rows for phrase in re.findall('"([^"…]+)', row) if " " in phrase]
    program = "\n".join(path.read_text() for path in (ROOT / "gcwatch").rglob("*.py"))
    assert quoted
    # Where the page has a number, the program may have a field.
    said = [re.sub(r"\d+", r"(\\d+|{[^}]*})", re.escape(phrase.strip())) for phrase in quoted]
    assert [each for each in said if not re.search(each, program)] == []


# --- the architecture ----------------------------------------------------------------------------


def architecture():
    return (DOCS / "architecture.md").read_text()


def test_the_checklist_is_the_codes():
    """Stages and steps, in order, are the code's; each stage says what a crash in it does."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(\w+)` \|$", architecture(), re.MULTILINE)
    assert rows == [(line.stage, line.step) for line in CHECKLIST]
    told = re.findall(r"^\| (\w+ing) \|", architecture(), re.MULTILINE)
    assert told == [line.stage for line in CHECKLIST]


def test_the_layers_are_those_that_are_held():
    """The table of rooms has the layers of the import contract, from top to bottom."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    [layers] = [
        each["layers"] for each in contracts["contracts"] if each.get("containers") == ["gcwatch"]
    ]
    held = [
        (number, room)
        for number, layer in enumerate(layers, 1)
        for room in sorted(layer.split(" | "))
    ]
    rows = re.findall(r"^\| (\d+) \| `(\w+)(?:/|\.py)` \|", architecture(), re.MULTILINE)
    assert [(int(number), room) for number, room in rows] == held


def test_what_the_architecture_names_is_there():
    """Files, and functions and classes of modules; the test below has the files of tests."""
    for code in re.findall(r"`(?!test_)([\w./<>]+)`", architecture()):
        name = code.rstrip("/").replace("<kind>", "archive")
        if name.endswith((".py", ".toml")) or code.endswith("/"):
            assert any((ROOT / place / name).exists() for place in ("", "gcwatch")), code
        elif "." in name:
            module, _, member = name.rpartition(".")
            assert hasattr(import_module(f"gcwatch.{module}"), member), code


def test_every_folder_of_tests_is_told():
    """CONTRIBUTING says of each what it proves."""
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| folder of `tests/` |")[2]
    rows = re.findall(r"^\| (`[^|]*) \|", table.partition("\n\n")[0], re.MULTILINE)
    told = {name.strip("` ") for row in rows for name in row.split(",")}
    there = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("*/*.py")}
    assert told == there


def test_every_test_that_is_named_exists():
    """No page refers to a file of tests that is not there."""
    tests = {path.name for path in (ROOT / "tests").rglob("*.py")}
    for page in PAGES:
        assert set(re.findall(r"`[\w/]*(test_\w+\.py)`", page.read_text())) <= tests, page.name


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_event_that_is_named_exists(page):
    """An alarm on an event that is never emitted would be worse than none."""
    prefixes = {name.partition(".")[0] for name in log.CATALOGUE} - {"log"}
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", (ROOT / "docs" / page).read_text())
    for prefix, rest in named:
        if prefix in prefixes and rest not in {"py", "sqlite"}:
            assert f"{prefix}.{rest}" in log.CATALOGUE


def test_everything_that_is_ignored_is_told():
    """The page on folders names each pattern of the built-in list, and each temporary name."""
    page = (ROOT / "docs" / "folders.md").read_text()
    assert [
        glob for glob in patterns.IGNORED_NAMES if glob != ".*" and f"`{glob}`" not in page
    ] == []
    rows = [f"| `{each.glob}` | {each.programs} |" for each in TEMPORARY_NAMES]
    assert "\n".join(rows) in page


def test_generated_pages_are_up_to_date():
    """docs/events.md and docs/configuration.md are what the code says."""
    assert (ROOT / "docs" / "events.md").read_text() == log.reference()
    assert (ROOT / "docs" / "configuration.md").read_text() == config.reference()


def test_the_picture_of_status_is_up_to_date():
    """docs/status.svg is what the program shows; `make docs` writes it."""
    made = runpy.run_path(str(DOCS / "screenshot.py"))["screenshot"]()
    assert (DOCS / "status.svg").read_text() == made
