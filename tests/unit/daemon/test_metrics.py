"""The file of metrics: what Prometheus reads in it, and the examples that use it."""

import json
import re
import stat

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support.builders import Site, mha, until
from support.checkout import ROOT

from gcwatch import config
from gcwatch.core import events
from gcwatch.core.errors import ConfigError
from gcwatch.core.reasons import CATALOGUE, Reason
from gcwatch.journal.totals import Totals
from gcwatch.platform.traffic import OUTCOMES, Traffic
from gcwatch.wording.metrics import METRICS, MetricsFacts, MirrorNumbers, metrics_text

MONITORING = ROOT / "config" / "monitoring"


@pytest.fixture
def site(tmp_path, sandbox):
    site = Site(tmp_path / "site", sandbox)
    site.file.write_text(site.file.read_text() + '\n[metrics]\ntextfile = "gcwatch.prom"\n')
    return site


def samples_of(text):
    """The values of a file of metrics, by name and labels; Prometheus' own parser reads it."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def samples(site):
    path = site.folder / "gcwatch.prom"
    return samples_of(path.read_text()) if path.exists() else {}


def some_facts():
    totals = Totals()
    totals.delivered["lobes"] += 2
    totals.uploaded["lobes"] += 4096
    totals.failures["lobes", "job_failed"] += 1
    totals.failures["gone", "job_failed"] += 1
    totals.last_delivery["lobes"] = 1000.5
    return MetricsFacts(
        now=2000.0,
        is_running=True,
        routes={"lobes", "liver"},
        counts={("lobes", "running"): 3},
        needing={("lobes", "failed"): 1},
        waits={"lobes": 12.5},
        totals=totals,
        calls=dict.fromkeys(OUTCOMES, 7),
        last_answer=1999.0,
        away={"liver"},
        pause="disk_full",
        mirrors={"chest": MirrorNumbers(1500.0, 9, True)},
        hosts={"alive": 2, "silent": 1},
    )


def test_the_text_has_every_metric_with_its_kind_and_meaning():
    """The names are Prometheus' way: counters end with _total, and units are base units."""
    read = {
        each.name: each
        for each in text_string_to_metric_families(metrics_text(some_facts()).decode())
    }
    assert len(read) == len(METRICS)
    for name, spec in METRICS.items():
        found = read[name.removesuffix("_total")]
        assert (found.type, found.documentation) == (spec.kind, spec.meaning)
        assert found.samples, name
        assert all({*each.labels} == {*spec.labels} for each in found.samples)
        assert name.endswith("_total") == (spec.kind == "counter")
        assert re.fullmatch("gcwatch(_[a-z]+)+", name)


def test_the_values_are_those_of_the_facts():
    """Each route of the config has its own, and no other route has any."""
    read = samples_of(metrics_text(some_facts()).decode())
    assert read["gcwatch_cases", "lobes", "running"] == 3
    assert read["gcwatch_cases", "liver", "running"] == 0
    assert read["gcwatch_failures_total", "job_failed", "lobes"] == 1
    assert read["gcwatch_inbox_reachable", "liver"] == 0
    assert read["gcwatch_paused", "disk_full"] == 1
    assert read["gcwatch_paused", "token_refused"] == 0
    assert read["gcwatch_mirror_last_run_timestamp_seconds", "chest"] == 1500
    assert not any("gone" in labels for _, *labels in read)


def test_a_daemon_keeps_the_file_up_to_date(site):
    """One case is delivered and one fails; no name and no key is in the file."""
    site.drop("DOE^JANE")
    site.drop("ROE^RICHARD", {"image.mha": mha()[:-9]})
    with site.running() as watch:
        until(lambda: samples(site).get(("gcwatch_cases", "delivered", "lobes")) == 1)
        until(lambda: samples(site).get(("gcwatch_cases", "failed", "lobes")) == 1)
        until(lambda: samples(site).get(("gcwatch_up",)) == 1)
        keys = [case.key for case in watch.cases()]
        sent = sum(each.size for case in watch.cases() for each in case.uploads)
    read, text = samples(site), (site.folder / "gcwatch.prom").read_text()
    assert read["gcwatch_up",] == 0
    assert read["gcwatch_deliveries_total", "lobes"] == 1
    assert read["gcwatch_uploaded_bytes_total", "lobes"] == sent > 0
    assert read["gcwatch_cases_needing_somebody", "failed", "lobes"] == 1
    assert [
        reason
        for name, *labels in read
        if name == "gcwatch_failures_total"
        for reason in labels
        if reason in CATALOGUE
    ] != []
    assert read["gcwatch_platform_requests_total", "ok"] > 3
    assert not any(each in text for each in ("DOE", "ROE", *keys))
    mode = (site.folder / "gcwatch.prom").stat().st_mode
    assert stat.S_IMODE(mode) == 0o644


def test_a_folder_that_is_gone_is_told_once(site):
    """The daemon works on, and says when the file is up to date again."""
    site.listen()
    text = site.file.read_text().replace("gcwatch.prom", "node/gcwatch.prom")
    site.file.write_text(text)
    with site.running():
        until(lambda: site.said("metrics.failed"))
        (site.folder / "node").mkdir()
        until(lambda: site.said("metrics.returned"))
    assert len(site.said("metrics.failed")) == 1


def test_totals_are_those_of_the_journal_also_after_a_restart(site):
    """A failure counts when it is reported, by its last reason; a retried case may fail again."""
    with site.watch() as watch:
        case = watch.journal.open_case("lobes", "p1")
        assert watch.journal.totals().failures == {}
        for event in (
            events.Rejected(Reason("no_files")),
            events.FailureReported(),
            events.Retried(),
            events.AttemptFailed(Reason("disk", {"what": "x", "error": "y"})),
            events.Rejected(Reason("job_failed", {"status": "Failed"})),
            events.FailureReported(),
        ):
            watch.journal.record(case.key, event)
        expected = {("lobes", "no_files"): 1, ("lobes", "job_failed"): 1}
        assert watch.journal.totals().failures == expected
    with site.watch() as watch:
        assert watch.journal.totals().failures == expected


def test_requests_are_counted_by_how_they_ended():
    """A status below 400 is the platform's last good answer."""
    traffic = Traffic(clock=lambda: 5.0)
    for status in (503, 401, 429, 404):
        traffic.answered(status)
    assert traffic.last_ok is None
    traffic.answered(206)
    traffic.unanswered()
    assert (traffic.outcomes(), traffic.last_ok) == (dict.fromkeys(OUTCOMES, 1), 5.0)


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("gcwatch.txt", "must end with .prom"),
        (".prom", "must end with .prom"),
        ("in/gcwatch.prom", "lies inside a folder of route"),
        ("out/gcwatch.prom", "lies inside a folder of route"),
    ],
)
def test_a_file_that_would_not_be_read_or_that_would_be_sent_is_refused(site, path, problem):
    """node_exporter reads *.prom; a file in an inbox may become a case."""
    site.file.write_text(site.file.read_text().replace("gcwatch.prom", path))
    with pytest.raises(ConfigError) as error:
        config.load(site.file)
    assert problem in str(error.value.problems[0])


# --- the examples --------------------------------------------------------------------------------


def names_in(expression):
    return set(re.findall(r"\bgcwatch_\w+", expression))


def rules():
    loaded = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels():
    return json.loads((MONITORING / "dashboard.json").read_text())["panels"]


def test_every_metric_of_the_examples_is_one_that_is_written():
    """And the labels that they select by are the metric's own, or Prometheus'."""
    expressions = [rule["expr"] for rule in rules()]
    expressions += [target["expr"] for panel in panels() for target in panel["targets"]]
    for each in expressions:
        assert names_in(each), each
        assert names_in(each) <= set(METRICS), each
        for name, selected in re.findall(r"(gcwatch_\w+)\{([^}]*)\}", each):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selected))
            assert labels <= {*METRICS[name].labels, "instance"}, each


def test_the_dashboard_shows_every_metric():
    """So nothing is written that nobody sees."""
    shown = {
        name for panel in panels() for each in panel["targets"] for name in names_in(each["expr"])
    }
    assert shown == set(METRICS)
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_each_rule_says_what_is_wrong_with_labels_that_it_has():
    """A label that an expression does not give would be shown as nothing."""
    for rule in rules():
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        known = {label for name in names_in(rule["expr"]) for label in METRICS[name].labels}
        assert told <= known, rule["alert"]
