"""The docs say what is so: their commands are run, their names are looked up."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.main import get_command

from gcwatch import config, describe, inbox, log
from gcwatch.cli.app import app
from gcwatch.cli.explain import Exit
from gcwatch.reasons import CATALOGUE

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PORT = "8765"


def blocks(page, *languages):
    """The code blocks of a page in these languages, each with its language."""
    found = re.findall(r"^```([\w ]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, code) for language, code in found if language in languages]


# --- commands ------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def ended(process):
    """End a background command and all that it started."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(20)
    process.stdout.close()


def follow(folder, *pages):
    """Do what the pages say, one block after the other, as somebody with a shell would."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GCWATCH")},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    where = {"cwd": folder, "env": environment, "text": True, "start_new_session": True}
    with ExitStack() as stack:
        for language, code in [each for page in pages for each in blocks(page, *DONE)]:
            command = DONE[language](code.replace(PORT, port))
            if language == "sh background":
                process = subprocess.Popen(command, stdout=subprocess.PIPE, **where)
                stack.callback(ended, process)
                assert process.stdout.readline(), f"this did not start: {code}"
                continue
            done = subprocess.run(command, capture_output=True, check=False, timeout=100, **where)
            assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


DONE = {
    "sh": lambda code: ["bash", "-euo", "pipefail", "-c", code],
    "sh background": lambda code: ["bash", "-c", f"exec {code}"],
    "python": lambda code: [sys.executable, "-c", code],
}


def test_what_the_readme_shows_works(tmp_path):
    """The first result, command by command, and the Python example after it."""
    follow(tmp_path, README)
    assert (tmp_path / "out" / "patient-1" / "gcwatch.json").exists()


@pytest.mark.timeout(400)  # some thirty commands, each a Python of its own
def test_what_the_quickstart_and_the_logs_page_show_works(tmp_path):
    """Demo, rehearsal, a patient that is refused, a case followed through the log."""
    follow(tmp_path, ROOT / "docs" / "quickstart.md", ROOT / "docs" / "logs.md")
    assert "sent" in (tmp_path / "lobes" / "out" / "patient-2.failed.txt").read_text()


def test_no_page_shows_commands_that_are_not_run():
    """Whoever adds a page with commands adds it to a test."""
    shown = {page.name for page in PAGES if blocks(page, *DONE)}
    assert shown == {"README.md", "quickstart.md", "logs.md"}


def test_every_command_that_is_named_exists():
    """No page names a command or an option that the program does not have."""
    commands = get_command(app).commands
    for page in PAGES:
        for name, rest in re.findall(r"`gcwatch ([a-z]+)([^`]*)`", page.read_text()):
            assert name in commands, f"{page.name}: gcwatch {name}"
            known = {option for each in commands[name].params for option in each.opts}
            assert set(re.findall(r"--[a-z-]+", rest)) <= known, (
                f"{page.name}: gcwatch {name}{rest}"
            )


def test_every_make_target_that_is_named_exists():
    """`make demo` and `make test` come first; both are there."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = re.findall(r"\bmake ([a-z]+)\s+#", README.read_text())
    assert named == ["demo", "test"]
    assert set(named) <= set(targets)


# --- names ---------------------------------------------------------------------------------------


def test_the_map_is_true():
    """Each place that the README's map names is there, and no module is missing from it."""
    drawn = README.read_text().partition("## Where things are")[2]
    for place in re.findall(r"^    (\S+/\S*)", drawn, re.MULTILINE):
        assert (ROOT / place.rstrip(",")).exists(), place
    modules = {path.name for path in (ROOT / "gcwatch").glob("*.py")}
    named = set(re.findall(r"\b(\w+\.py)", drawn))
    assert modules - {"__init__.py", "__main__.py", "version.py"} <= named
    assert all(list((ROOT / "gcwatch").rglob(name)) for name in named)


def test_every_link_leads_somewhere():
    """Links between pages do not break when pages move."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readmes_config_is_a_config(tmp_path):
    """It is read without a mistake, in twelve lines."""
    [(_, text)] = blocks(README, "toml")
    assert len([line for line in text.splitlines() if line.strip()]) <= 12
    (tmp_path / "gcwatch.toml").write_text(text)
    assert config.load(tmp_path / "gcwatch.toml").routes[0].name == "lobes"


def test_every_key_that_the_pages_set_exists():
    """No page shows a key that the config would refuse."""
    keys = re.findall(r"^\| `(\w+)` \|", config.reference(), re.MULTILINE)
    for page in PAGES:
        for key in re.findall(r"`(\w+) = [^`]*`", page.read_text()):
            assert key in keys, f"{page.name}: {key}"


def test_every_exit_code_is_told():
    """The README's sentence lists those of the program that a script meets."""
    sentence = re.search(r"Exit codes: (.*?)\. From", README.read_text(), re.DOTALL)[1]
    told = set(map(int, re.findall(r"\d+", sentence)))
    assert told == set(Exit) - {Exit.WRONG, Exit.IO, Exit.INTERRUPTED}


def test_every_reason_is_in_the_troubleshooting():
    """The table is that of the catalogue, to the letter (`make docs` writes it)."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    assert page == describe.with_reasons(page)
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(CATALOGUE)


@pytest.mark.parametrize("page", ["logs.md", "troubleshooting.md"])
def test_every_event_that_is_named_exists(page):
    """An alarm on an event that is never emitted would be worse than none."""
    prefixes = {name.partition(".")[0] for name in log.CATALOGUE} - {"log"}
    named = re.findall(r"`([a-z]+)\.([a-z_]+)`", (ROOT / "docs" / page).read_text())
    for prefix, rest in named:
        if prefix in prefixes:
            assert f"{prefix}.{rest}" in log.CATALOGUE


def test_everything_that_is_ignored_is_told():
    """The page on folders names each pattern of the built-in list."""
    page = (ROOT / "docs" / "folders.md").read_text()
    assert [glob for glob in inbox.IGNORED if glob != ".*" and f"`{glob}`" not in page] == []


def test_generated_pages_are_up_to_date():
    """docs/events.md and docs/configuration.md are what the code says."""
    assert (ROOT / "docs" / "events.md").read_text() == log.reference()
    assert (ROOT / "docs" / "configuration.md").read_text() == config.reference()
