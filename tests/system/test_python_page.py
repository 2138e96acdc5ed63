"""docs/python.md: its three jobs in Python and in a shell, in fresh folders; and its types."""

import inspect
import re
import shlex

import pytest
from support.builders import Site, mha
from support.checkout import ROOT

import gcwatch
from gcwatch.cli import main

PAGE = (ROOT / "docs" / "python.md").read_text()
FUNCTIONS = ("send", "fetch", "mirror", "open")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def fresh(tmp_path, sandbox, monkeypatch):
    """A folder with two patients, an archive to keep, and a config file that says where."""
    for name in ("GCWATCH_CONFIG", "GRAND_CHALLENGE_AUTHORIZATION", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    site = Site(tmp_path, sandbox)
    mirror = '[[mirror]]\nname = "kept"\narchive = "ct-archive"\noutbox = "kept"\n'
    site.file.write_text(f"{site.file.read_text()}\n{mirror}")
    (tmp_path / "kept").mkdir()
    for number in (1, 2):
        folder = tmp_path / "patients" / f"patient-{number}"
        folder.mkdir(parents=True)
        (folder / "ct.mha").write_bytes(mha(number, 2, 3, 4))
    sandbox.add_item("ct-archive", "stored", {"ct-image": mha()})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_three_jobs(folder, sandbox):
    """What the three jobs leave behind."""
    assert len(sandbox.state()["display_sets"]) == 2
    assert sorted(path.name for path in (folder / "results").iterdir()) == [
        "patient-1",
        "patient-2",
    ]
    assert (folder / "archive" / "stored" / "gcwatch.json").exists()


def test_the_python_of_the_page_works(fresh, sandbox, capsys):
    """The three jobs take ten lines; all blocks run one after the other, as in one session."""
    first, *others = blocks("python")
    assert len(first.strip().splitlines()) <= 10
    session = {}
    exec(first, session)
    check_three_jobs(fresh, sandbox)
    assert capsys.readouterr().out.count("delivered") == 4
    for code in others:
        exec(code, session)
    assert len(sandbox.state()["jobs"]) == 2
    assert (fresh / "kept" / "stored" / "gcwatch.json").exists()


def test_the_three_lines_of_shell_do_the_same(fresh, sandbox):
    """One command for each job."""
    [lines] = blocks("sh")
    commands = [shlex.split(line)[1:] for line in lines.strip().splitlines()]
    assert len(commands) == 3
    for arguments in commands:
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code
    check_three_jobs(fresh, sandbox)


# --- what an editor sees -------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_option_is_typed_named_and_told(name):
    """An editor completes it: only names after the first argument, each with a line of help."""
    function = getattr(gcwatch, name)
    first, *options = inspect.signature(function).parameters.values()
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {each.kind for each in options} == {inspect.Parameter.KEYWORD_ONLY}
    assert all(each.annotation is not inspect.Parameter.empty for each in (first, *options))
    told = inspect.getdoc(function)
    assert [each.name for each in (first, *options) if f"{each.name}:" not in told] == []
    assert f"`gcwatch.{name}(" in PAGE


def test_no_room_hides_a_public_name():
    """Python sets a package's attribute when one of its modules is imported."""
    rooms = {path.stem for path in (ROOT / "gcwatch").iterdir()}
    assert rooms.isdisjoint(gcwatch.__all__)
