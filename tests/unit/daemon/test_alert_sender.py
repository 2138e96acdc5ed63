"""Alerts that arrive: a mail server, a webhook and a program on this machine."""

import json
import sys

import pytest
from support.builders import FAST, Clock, Site, mha, until
from support.receivers import mail_server, webhook

from gcwatch import config, log
from gcwatch.commands.alert_check import alert_findings
from gcwatch.commands.health import judge_health
from gcwatch.commands.status import read_overview
from gcwatch.core.alerts import Alert
from gcwatch.core.errors import ConfigError
from gcwatch.daemon.reporting.alert_channels import open_channels
from gcwatch.journal.alert_memory import read_alert_state, undelivered_alerts
from gcwatch.journal.hosts.hosts import NoteFiles


class AlertSite(Site):
    def alert(self, **keys):
        """Write the table of alerts; nothing is collected if no time is given."""
        self.configure()
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"collect": "0s", **keys}.items()]
        self.file.write_text(self.file.read_text() + "\n[alerts]\n" + "\n".join(lines))

    def settings(self):
        return config.load(self.file)


@pytest.fixture
def site(tmp_path, sandbox):
    return AlertSite(tmp_path / "site", sandbox)


@pytest.fixture
def mail():
    with mail_server() as server:
        yield server


@pytest.fixture
def hook():
    with webhook() as server:
        yield server


def no_secret(site, *secrets):
    text = (site.folder / "log.jsonl").read_text() + (site.state / "alerts.json").read_text()
    return not any(each in text for each in secrets)


# --- a daemon ------------------------------------------------------------------------------------


def test_a_failed_case_is_told_by_mail_and_webhook_without_its_name(site, mail, hook):
    """Both get the key and the reason; a restart tells it to nobody a second time."""
    site.alert(urls=[mail.url, hook.url])
    site.listen()
    site.drop("DOE^JANE", {"image.mha": mha()[:-9]})
    with site.running() as watch:
        until(lambda: site.said("alert.sent"))
        [case] = watch.cases()
    [message], [body] = mail.got, hook.got
    assert message["Subject"] == body["title"] == "gcwatch: 1 case failed"
    text = message.get_body().get_content()
    for each in (text, body["message"]):
        assert case.key in each
        assert "(damaged_image)" in each
        assert "DOE" not in each
    assert no_secret(site, "secret-path", "DOE", "a.org")
    before = read_alert_state(NoteFiles(site.state))
    site.drop("p2")
    with site.running():
        until(lambda: "p2" in site.delivered())
    assert read_alert_state(NoteFiles(site.state)) == before
    assert (len(mail.got), len(hook.got)) == (1, 1)


def test_a_refused_token_is_told_and_so_is_its_end(site, hook):
    """One message each."""
    site.alert(urls=[hook.url])
    site.use_token("wrong")
    site.drop()
    with site.running():
        until(lambda: hook.got)
        site.use_token(site.sandbox.token)
        until(lambda: len(hook.got) == 2)
    titles = [each["title"] for each in hook.got]
    assert titles == ["gcwatch: the platform refuses the token", "gcwatch: back to normal"]


def test_a_case_that_does_not_come_further_is_told(site, hook):
    """Also one whose tries go on: they are no progress."""
    clock = Clock()
    site.alert(urls=[hook.url], stalled="4h")
    site.drop()
    site.outbox.rmdir()
    with site.running(clock=clock) as watch:
        until(lambda: watch.cases() and watch.cases()[0].attempts)
        clock.ahead += 5 * 3600
        until(lambda: hook.got)
        assert hook.got[0]["title"] == "gcwatch: 1 case stalled"
        site.outbox.mkdir()
        until(site.delivered)
        until(lambda: len(hook.got) == 2)
    assert hook.got[1]["title"] == "gcwatch: back to normal"


def test_what_cannot_be_delivered_waits_and_disturbs_no_case(site, hook):
    """Status and health say so; each address gets it once, whatever the other one did."""
    with mail_server() as gone:
        url = gone.url
    site.alert(urls=[hook.url, url])
    site.listen()
    site.drop("p1", {"image.mha": mha()[:-9]})
    site.drop("p2")
    with site.running() as watch:
        until(lambda: undelivered_alerts(NoteFiles(site.state)) and hook.got)
        until(lambda: "p2" in site.delivered())
        seen = read_overview(watch)
        assert seen.alerts_waiting == 1
        assert "1 alert not delivered" in judge_health(seen).why
        tries = read_alert_state(NoteFiles(site.state)).waiting[0].tries
        until(lambda: read_alert_state(NoteFiles(site.state)).waiting[0].tries > tries + 1)
    assert len(hook.got) == 1
    [line] = site.said("alert.failed")
    assert line["error"] == "address 2 (mailto) did not accept it"
    site.alert(urls=[hook.url])
    with site.running() as watch:
        until(lambda: site.said("alert.sent"))
        assert read_overview(watch).alerts_waiting == 0
    assert len(hook.got) == 1


def test_a_run_that_ends_by_itself_tells_at_its_end(site, hook):
    """So whoever uses cron is told as well."""
    site.alert(urls=[hook.url])
    site.drop("p1", {"image.mha": mha()[:-9]})
    site.run_once()
    assert [each["title"] for each in hook.got] == ["gcwatch: 1 case failed"]
    site.run_once()
    assert len(hook.got) == 1


def test_a_start_does_not_end_what_it_does_not_know_yet(site, hook):
    """A token that is still refused after a restart is not told as accepted."""
    site.alert(urls=[hook.url])
    site.use_token("wrong")
    site.drop()
    with site.running():
        until(lambda: hook.got)
    with site.running(pace=FAST):
        until(lambda: site.state.joinpath("lock").read_text().split()[1:] == ["token_refused"])
    assert len(hook.got) == 1


# --- channels ------------------------------------------------------------------------------------


def sent(site):
    return [each.is_fine for each in alert_findings(site.settings(), send=True)]


def test_check_sends_a_test_to_all(site, mail, hook):
    """And says which address does not take it, by its place in the list."""
    site.alert(urls=[mail.url, hook.url])
    hook.answer = 500
    found = [*alert_findings(site.settings(), send=True)]
    assert [each.is_fine for each in found] == [True, False]
    assert found[1].detail == "address 2 (json) did not accept it"
    assert mail.got[0]["Subject"] == "gcwatch: test of an alert"
    assert "secret-path" not in repr(found)


def test_check_without_alerts_says_that_nobody_gets_any(site):
    assert sent(site) == [False]
    assert [*alert_findings(site.settings(), send=False)] == []


def test_a_redirect_is_not_followed(site, hook):
    """It could lead to where nothing is encrypted."""
    site.alert(urls=[hook.url])
    hook.answer = 302
    assert sent(site) == [False]
    assert hook.calls == 1


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("json://example.org/secret", "is not encrypted"),
        ("form://10.0.0.1/secret", "is not encrypted"),
        ("ntfy://example.org/secret", "is not encrypted"),
        ("rsyslog://example.org/local0", "is not encrypted"),
        ("jsons://example.org/secret?verify=no", "is not encrypted"),
        ("mailto://user:secret@example.org?mode=insecure", "is not encrypted"),
        ("mailtos://user:secret@example.org?mode=insecure", "is not encrypted"),
        ("nothing://secret", "is none that apprise knows"),
        ("secret", "is none that apprise knows"),
    ],
)
def test_an_address_that_is_not_safe_is_refused_and_not_shown(site, url, problem):
    site.alert(urls=[url])
    with pytest.raises(ConfigError) as error:
        open_channels(site.settings())
    said = str(error.value.problems[0])
    assert f"address 1 {problem}" in said
    assert "secret" not in said + repr(site.settings())


@pytest.mark.parametrize(
    "url",
    [
        "jsons://example.org/x",
        "mailtos://user:secret@example.org",
        "mailto://relay.example.org?from=a@b.org&to=c@d.org",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#it",
        "workflows://example.org:443/workflow/signature",
    ],
)
def test_mail_teams_slack_and_webhooks_are_taken(site, url):
    site.alert(urls=[url])
    assert len(open_channels(site.settings())) == 1


def test_addresses_can_be_in_a_file_that_only_its_owner_reads(site, hook):
    """One a line, with remarks; each is hidden in the log from then on."""
    site.alert(urls_file="alerts")
    file = site.folder / "alerts"
    file.write_text(f"# the webhook of IT\n\n{hook.url}\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError) as error:
        open_channels(site.settings())
    assert "can be read by others; chmod 600" in str(error.value.problems[0])
    file.chmod(0o600)
    assert sent(site) == [True]
    site.listen()
    log.emit("alert.failed", error=f"no way to {hook.url}")
    assert "secret-path" not in (site.folder / "log.jsonl").read_text()


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_without_an_address_is_refused(site, text):
    site.alert(urls_file="alerts")
    file = site.folder / "alerts"
    file.touch(0o600)
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        open_channels(site.settings())
    assert "holds no address" in str(error.value.problems[0])


def test_without_apprise_the_error_says_what_to_install(site, monkeypatch):
    """A daemon does not start without being able to tell."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    site.alert(urls=["jsons://example.org/x"])
    with pytest.raises(ConfigError) as error, site.watch() as watch:
        watch.run_once()
    assert "pip install 'gcwatch[alerts]'" in str(error.value.problems[0])


def test_only_one_way_can_be_named(site):
    site.alert(urls=["jsons://example.org/x"], command=["true"])
    with pytest.raises(ConfigError) as error:
        site.settings()
    assert "can't be used beside urls" in str(error.value.problems[0])


# --- a program -----------------------------------------------------------------------------------


def test_a_program_gets_all_of_it_and_nothing_secret(site, tmp_path, monkeypatch):
    """Title and events in its environment, the text as its input, no token, no shell."""
    monkeypatch.setenv("GRAND_CHALLENGE_AUTHORIZATION", "secret")
    out = tmp_path / "out"
    said = "str(dict(os.environ)) + sys.stdin.read()"
    text = f"import os, sys; open({str(out)!r}, 'w').write({said})"
    site.alert(command=[sys.executable, "-c", text])
    [channel] = open_channels(site.settings())
    assert channel.send(Alert("a title; $(id)", "the body", ("failed", "stalled"))) == ""
    got = out.read_text()
    assert "'GCWATCH_ALERT': 'a title; $(id)'" in got
    assert "'GCWATCH_ALERT_EVENTS': 'failed,stalled'" in got
    assert got.endswith("a title; $(id)\n\nthe body\n")
    assert "secret" not in got


def test_a_program_that_fails_is_a_problem_and_one_that_is_missing_a_mistake(site):
    site.alert(command=["false"])
    [finding] = alert_findings(site.settings(), send=True)
    assert finding.detail == "the command ended with exit code 1"
    site.alert(command=["/nonexistent/program"])
    with pytest.raises(ConfigError) as error:
        open_channels(site.settings())
    assert "is not a program" in str(error.value.problems[0])


@pytest.mark.parametrize("command", [["page", "{key}"], ["page", ""], ["bin/page"]])
def test_a_program_that_can_not_be_run_is_refused(site, command):
    """There is nothing to fill in, as an alert may be about many cases."""
    site.alert(command=command)
    with pytest.raises(ConfigError):
        site.settings()
