"""`gcwatch list` and links: what the token can see, and no link is cut."""

import io
import json

import pytest
from rich.console import Console

from gcwatch.cli import main
from gcwatch.commands.listing import Listed
from gcwatch.commands.send.runs import Sent
from gcwatch.commands.status import Overview
from gcwatch.views.case_history import case_history
from gcwatch.views.links import knows_links
from gcwatch.views.listing_table import listing
from gcwatch.views.sent_lines import sent_lines
from gcwatch.views.status_table import status_tables
from gcwatch.wording.case_view import CaseView

LINK = (
    "https://grand-challenge.org/reader-studies/a-study-with-a-long-name/display-sets/" + "7" * 36
)
KITTY = {"TERM": "xterm-kitty"}
XTERM = {"TERM": "xterm-256color"}


@pytest.fixture
def run(sandbox, tmp_path, capsys, monkeypatch):
    """Run the command; its exit code, what it printed and what it said."""
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", sandbox.token)
    monkeypatch.delenv("GCWATCH_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["list", *arguments, "--url", sandbox.url])
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("what", "slug", "page"),
    [
        ("algorithms", "copy-image", "/algorithms/copy-image/"),
        ("archives", "ct-archive", "/archives/ct-archive/"),
        ("reader-studies", "lung-study", "/reader-studies/lung-study/"),
    ],
)
def test_a_list_has_slug_title_and_link(run, what, slug, page):
    """A pipe gets a line each; a program gets JSON; what the token can't see is in neither."""
    code, out, err = run(what)
    lines = [line.split("\t") for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert all(title for _, title, _ in lines)
    assert [line[0] for line in lines] == sorted(line[0] for line in lines)
    assert "hidden-study" not in out
    [[_, title, link]] = [line for line in lines if line[0] == slug]
    assert link.endswith(page)
    told = json.loads(run(what, "--json")[1])[what]
    assert {"slug": slug, "title": title, "link": link} in told


def test_a_word_narrows_a_list(run):
    """It is part of a slug or a title, in any case; nothing is found in words, too."""
    assert [line.split("\t")[0] for line in run("sockets", "CT-IM")[1].splitlines()] == ["ct-image"]
    code, out, err = run("archives", "no-such")
    assert (code, out) == (0, "")
    assert "no archives with no-such" in err


def test_what_cannot_be_listed_has_its_exit_code(run, monkeypatch):
    """An unknown list, and a token that the platform does not take."""
    assert run("jobs")[0] == 64
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", "0" * 64)
    assert run("archives")[0] == 77


# --- links ---------------------------------------------------------------------------------------


def screen():
    return Console(file=io.StringIO(), width=80, force_terminal=True, color_system="truecolor")


def shown(drawn):
    on = screen()
    on.print(drawn, crop=False)
    return on.file.getvalue()


@pytest.mark.parametrize("clickable", [True, False])
def test_no_link_of_a_list_or_of_status_is_cut_at_80_columns(clickable):
    """It is a whole line; on a terminal with links, the slug or the key is the link."""
    drawn = shown(listing([Listed("a-slug", "A title", LINK)], clickable=clickable))
    assert LINK in drawn
    assert ("\x1b]8;" in drawn) == clickable
    view = CaseView("k1", "r", "p1", "failed", "", "why", detail=f"Made by {LINK}x.", link=LINK)
    seen = Overview(at=0.0, daemon=None, counts={}, views=(view,))
    for drawn in (
        shown(status_tables(seen, clickable=clickable)),
        shown(case_history(view, [], [], clickable=clickable)),
    ):
        assert LINK in drawn.replace(f"{LINK}x", "")
        assert f"{LINK}x\n" in drawn.replace("\x1b]8;;\x1b\\", "")


def test_no_link_of_send_is_cut_at_80_columns():
    """Neither its own, nor one in a sentence, which is wrapped between words."""
    said = f"The platform takes no second one: {LINK} It was made by an earlier job."
    drawn = shown(sent_lines([Sent("send-1", "p1", None, LINK, why=said)], screen()))
    lines = drawn.splitlines()
    assert f"  {LINK}" in lines
    assert LINK in lines
    assert all(len(line) <= 80 for line in lines if LINK not in line and "\x1b" not in line)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", ""])
def test_only_pages_are_links(url):
    """The platform names the address: no other scheme becomes a click."""
    assert "\x1b]8;" not in shown(listing([Listed("a-slug", "A title", url)], clickable=True))


@pytest.mark.parametrize(
    ("environment", "knows"),
    [
        (KITTY, True),
        ({**XTERM, "VTE_VERSION": "7600"}, True),
        ({**XTERM, "VTE_VERSION": "4205"}, False),
        ({**XTERM, "TERM_PROGRAM": "vscode"}, True),
        ({**KITTY, "TMUX": "/tmp/tmux"}, False),
        ({**XTERM, "FORCE_HYPERLINK": "1"}, True),
        ({**KITTY, "FORCE_HYPERLINK": "0"}, False),
        (XTERM, False),
    ],
)
def test_a_terminal_without_links_is_not_sent_any(environment, knows):
    """It is known by what it says of itself; a person can say otherwise."""
    assert knows_links(screen(), environment) == knows
    assert not knows_links(Console(file=io.StringIO()), environment)
