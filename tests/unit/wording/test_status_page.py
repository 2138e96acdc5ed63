"""The status page: what it shows, what it never shows, and when it is written."""

import re
import threading
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.builders import FAST, Site, until, vendors_image
from support.status_pages import HOSTILE, JOB, NOW, delivered, morning, page, pictures, view

from gcwatch.core.case import Case
from gcwatch.core.reasons import Reason
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.reporting import status_files
from gcwatch.daemon.reporting.outbox_links import OutboxLinks
from gcwatch.daemon.reporting.status_files import StatusFileWriter, _FileState
from gcwatch.wording.status_facts import MAX_CASES, StatusFileFacts, is_status_file
from gcwatch.wording.why_waiting import DaemonSnapshot

PIECES = {"style", "script", "meta", "noscript", "link", "img", "iframe", "base", "object"}


class Reader(HTMLParser):
    """Reads a page as a browser does: its tags with their attributes, and the text in sections."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.sections, self.open = [], {"": []}, ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "section":
            self.open = dict(attributes)["id"]
            self.sections[self.open] = []

    def handle_endtag(self, tag):
        if tag == "section":
            self.open = ""

    def handle_data(self, data):
        self.sections[self.open].append(data)

    def text(self, section=""):
        return " ".join("".join(self.sections[section]).split())

    def values(self, attribute):
        return [facts[attribute] for _, facts in self.tags if attribute in facts]


# --- what it shows --------------------------------------------------------------------------------


def test_it_says_who_is_needed_what_waits_and_what_was_delivered():
    """Each case is in one section, with its status in words, and what to do in two parts."""
    read = Reader(page(morning()))
    urgent, waiting, done = (read.text(each) for each in ("urgent", "waiting", "delivered"))
    assert "ct-2026-0830-\u00d8stby Failed" in urgent
    assert "What to do: Export the series again with all slices" in urgent
    assert "For IT: 1 of 24 slices is missing: at 60.0 mm. If the scanner skipped it" in urgent
    assert "trial 7/series 3 Waits for somebody" in urgent
    assert "Not sent Archives are in the inbox" in urgent
    assert "1 archive: p2.zip." in urgent
    assert "p-with-change Delivered, to check" in urgent
    assert "gcwatch tries it again by itself" in urgent
    assert "doe-jane Settling since" in waiting
    assert "(188 files, 99 MB)" in waiting
    assert "p1 Delivered" in done
    assert "p-with-change" not in done
    assert [read.text(each).count("lobes-") for each in ("urgent", "waiting", "delivered")] == [
        *(3, 3, 12)
    ]


def test_it_counts_as_gcwatch_health_does():
    """Failed, waiting for somebody, not sent, and delivered but to check: four need somebody."""
    html = page(morning())
    assert "<title>(4) lobes" in html
    assert 'Needs somebody <span class="count">4</span>' in html


def test_times_are_local_and_programs_can_read_them(monkeypatch):
    """A time has the time zone of the machine, in words and in the attribute."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        html = page(morning())
    finally:
        monkeypatch.undo()
        time.tzset()
    assert '<time datetime="2026-09-01T13:11:00+05:30">2026-09-01 13:11</time> (IST)' in html
    assert '<time datetime="2026-09-01T13:04:00+05:30">13:04</time>' in html  # p1, 7 min ago


def test_links_lead_to_the_platform_and_to_the_folder():
    """Both are there if there is such a thing, and say whose they are."""
    html = page(morning(1))
    assert f'href="{JOB.format(1)}"' in html
    assert 'href="./out/p1/"' in html
    assert 'href="./out/ct-2026-0830-%C3%98stby.failed.txt"' in html
    assert 'Results<span class="unseen"> of p1</span>' in html


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,"]
)
def test_no_link_leads_anywhere_but_to_a_web_page(address):
    """Whatever a platform answers."""
    facts = StatusFileFacts("lobes", [view("p1", "running", link=address)], {"running": 1})
    assert address not in page(facts)


def test_it_says_why_nothing_moves_at_all():
    """A refused token and an inbox that is away are above the cases, in two parts."""
    read = Reader(page(StatusFileFacts("lobes", pause=Reason("token_refused"), is_away=True)))
    assert "All work is paused" in read.text()
    assert "For IT:" in read.text()
    assert "The inbox can't be reached" in read.text()


def test_it_says_that_gcwatch_was_stopped():
    """The last page of a daemon says so, and does not warn of its own age."""
    html = page(StatusFileFacts("lobes", is_over=True))
    assert "gcwatch stopped</strong> at" in html
    assert " data-over>" in html
    assert "If this is older" not in html
    assert " data-over>" not in page(StatusFileFacts("lobes"))


def test_pictures_have_words():
    """What is sent and what came back, which slice, that a mask is empty, and why there is none."""
    read = Reader(page(morning(3)))
    text = read.text("delivered")
    assert "Sent ct-image, slice 9 of 16 Result lungs, slice 9 of 16" in text
    assert "Result lungs, slice 9 of 16 Empty: all is zero" in text
    assert "No picture: images of this format are not drawn here. Sent slide" in text
    assert "Result, lungs of p2" in read.values("alt")


def test_a_day_is_a_heading():
    """Who asks what was delivered today finds today."""
    facts = StatusFileFacts("lobes", delivered=[delivered(1), delivered(60 * 24)])
    assert re.findall('class="day">([^<]*)<', page(facts)) == [
        "Tuesday, 2026-09-01",
        "Tuesday, 2026-08-25",
    ]


# --- what it never does ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_name_is_never_anything_but_text(name):
    """No folder name, warning or sentence becomes a tag, an attribute, a script or a direction."""
    facts = morning(2)
    plain = Reader(page(facts)).tags
    facts = replace(
        facts, views=[replace(each, folder=name, why=name, detail=name) for each in facts.views]
    )
    html = page(facts)
    taken = Reader(html)
    assert [tag for tag, _ in taken.tags] == [tag for tag, _ in plain]
    assert taken.values("style") == taken.values("onerror") == []
    assert "49" not in taken.text("urgent")
    shown = name.encode("unicode_escape").decode() if not name.isprintable() else name
    assert shown in "".join(taken.sections["urgent"])
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", html)


def test_it_loads_nothing():
    """No address of a style, script, picture or frame; a policy that allows what is inside only."""
    html = page(morning())
    read = Reader(html)
    assert {tag for tag, _ in read.tags} & PIECES == {"style", "script", "meta", "noscript", "img"}
    assert all(each.startswith("data:image/") for each in read.values("src"))
    assert len(read.values("src")) == 5
    assert read.values("http-equiv") == ["Content-Security-Policy", "refresh"]
    policy = read.values("content")[0]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "//" not in policy


def test_it_stays_short_however_many_cases_there_are():
    """The newest are listed, the others counted."""
    many = range(1, MAX_CASES + 50)
    waiting = [view(f"w{number}", "settling", case=f"lobes-w{number}") for number in many]
    facts = StatusFileFacts(
        "lobes",
        waiting,
        {"settling": len(waiting), "delivered": 1_000_000},
        delivered=[delivered(number) for number in many],
    )
    html = page(facts)
    assert html.count("data-case>") == 2 * MAX_CASES
    assert "49 more are not shown here." in html
    assert f"{1_000_000 - MAX_CASES} more are not shown here." in html
    assert len(html) < 400_000


def test_a_label_of_a_picture_is_never_anything_but_text():
    """Socket names and problems come from elsewhere, too."""
    [first, *_], name = pictures().values(), HOSTILE[2]
    evil = [each.model_copy(update={"label": name}) for each in first]
    html = page(replace(morning(1), pictures={"lobes-d0000001": evil}))
    assert [tag for tag, _ in Reader(html).tags] == [
        tag for tag, _ in Reader(page(morning(1))).tags
    ]


def test_a_page_is_recognised_as_ours():
    """It is replaced the next time; a page of somebody else is not."""
    assert is_status_file(page(morning()).encode()[:100])
    assert not is_status_file(b"<!DOCTYPE html>\n<!-- my notes -->")


# --- where the results are ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "address"),
    [("", "./out/p%201%3F/"), ("out", "./p%201%3F/"), ("in", "./../out/p%201%3F/")],
)
def test_the_folder_is_found_from_where_the_page_is(tmp_path, folder, address):
    """Beside the outbox, in it, or in the inbox; a name with a space and a question mark, too."""
    (tmp_path / "out" / "p 1?").mkdir(parents=True)
    case = delivered_case("p 1?")
    assert OutboxLinks(tmp_path / "out", tmp_path / folder).find(case) == address


def test_without_a_way_there_is_no_link(tmp_path):
    """A page on another share can't lead to the outbox; results that were taken have no link."""
    (tmp_path / "p1").mkdir()
    case = delivered_case("p1")
    away = OutboxLinks(tmp_path, Path("/srv/elsewhere"))
    assert away.find(case) == ""
    (tmp_path / "p1").rmdir()
    assert away.find(case) is None


def delivered_case(result):
    return Case("lobes-2", "lobes", "p1", 1.0, 2.0, ending="delivered", result=result)


# --- kept by a daemon -----------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, sandbox, monkeypatch):
    """Whoever writes or draws at the end has a minute, however busy this machine is."""
    monkeypatch.setattr(status_files, "_STOP_PATIENCE_SECONDS", 60.0)
    monkeypatch.setattr(status_files, "_LOOK_PATIENCE_SECONDS", 60.0)
    return Site(tmp_path, sandbox, report="status.html")


def paper(site):
    path = site.folder / "status.html"
    return path.read_text() if path.exists() else ""


def test_the_daemon_keeps_it_up_to_date(site):
    """From failed and delivered cases, with links that lead to what is there."""
    site.drop("p1")
    site.drop("x ray", vendors_image())
    with site.running():
        until(lambda: 'href="./out/p1/"' in paper(site))
        until(lambda: 'href="./out/x%20ray.failed.txt"' in paper(site))
        assert "x ray" in Reader(paper(site)).text("urgent")
        assert "p1 Delivered" in Reader(paper(site)).text("delivered")
    assert "gcwatch stopped</strong> at" in paper(site)
    assert site.sandbox.token not in paper(site)
    assert (site.folder / "status.html").stat().st_mode & 0o777 == 0o640


def test_it_leads_to_the_table_of_results(site):
    """If the route keeps one."""
    site.configure(report="status.html", table=True)
    site.drop("p1")
    site.run_once()  # the table is there at its end
    site.run_once()
    assert 'href="./out/results.csv"' in paper(site)


def test_a_name_that_the_share_does_not_show_any_more_is_not_on_the_page(site):
    """A patient whose folder and results were taken away is counted, not named."""
    site.drop("doe-jane")
    site.run_once()
    assert "doe-jane" in paper(site)
    (site.inbox / "doe-jane").rename(site.folder / "taken")
    site.run_once()
    assert "doe-jane" in paper(site)  # the results are there
    (site.outbox / "doe-jane").rename(site.folder / "taken too")
    site.run_once()
    assert "doe-jane" not in paper(site)
    assert "1 more is not shown here." in paper(site)


def test_an_unchanged_page_is_not_written_again(site):
    """Only the time in its head would differ."""
    site.drop("p1")
    site.run_once()
    with site.watch() as watch:
        pace = replace(FAST, survey=3600.0)  # nothing is old within an hour
        parts = (watch.journal, lambda: watch.settings, DaemonSnapshot, lambda _: pace)
        leases = HeldLeases(watch.journal.leases, 0.0, frozenset)
        more = {"clock": lambda: NOW, "leases": leases, "state": site.state}
        more["stop"] = threading.Event()
        writer, state = StatusFileWriter(*parts, **more), _FileState()
        [route] = watch.settings.routes

        def written():
            writer._write_if_changed(state, route, route.report, is_over=False)
            return route.report.stat().st_ino, route.report.stat().st_mtime_ns

        first = written()
        assert written() == first
        watch.journal.open_case("lobes", "p2")
        assert written() != first
