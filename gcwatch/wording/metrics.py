"""The numbers of one moment for Prometheus: what each means, and the text of all.

No name of a folder and no key is in them. Each label has few values: the routes and mirrors of the
config, the stages, and the reason codes of the catalogue.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from gcwatch.core.attention import ATTENTIONS
from gcwatch.core.checklist import STAGES
from gcwatch.journal.totals import Totals
from gcwatch.version import VERSION

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_PAUSES: Final = ("token_refused", "disk_full", "database_away", "journal_newer")


@dataclass(frozen=True)
class MirrorNumbers:
    """A mirror: when its last run ended (seconds since the epoch), its items, whether it failed."""

    ended: float | None
    items: int
    has_failed: bool


@dataclass(frozen=True, kw_only=True)
class MetricsFacts:
    """All that is known at the time `now`.

    `counts` by route and stage; `needing` by route and what is needed; `waits` by route in
    seconds; `calls` by outcome; `away` are routes; `pause` is one of the reasons for which all work
    is paused, or "". `hosts` by state, of those that share the journal.
    """

    now: float
    is_running: bool
    routes: Collection[str]
    counts: Mapping[tuple[str, str], int]
    needing: Mapping[tuple[str, str], int]
    waits: Mapping[str, float]
    totals: Totals
    calls: Mapping[str, int]
    last_answer: float | None = None
    away: Collection[str] = ()
    pause: str = ""
    mirrors: Mapping[str, MirrorNumbers] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricSpec:
    """One metric: its kind, its labels and its meaning."""

    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    meaning: str


def _gauge(meaning: str, *labels: str) -> MetricSpec:
    return MetricSpec("gauge", labels, meaning)


def _counter(meaning: str, *labels: str) -> MetricSpec:
    return MetricSpec("counter", labels, meaning)


METRICS: Final[Mapping[str, MetricSpec]] = {
    "gcwatch_up": _gauge("1 while gcwatch runs, 0 after it has stopped."),
    "gcwatch_build_info": _gauge("Always 1; the label is the version.", "version"),
    "gcwatch_written_timestamp_seconds": _gauge("When this file was written."),
    "gcwatch_paused": _gauge("1 while all work is paused for this reason.", "reason"),
    "gcwatch_inbox_reachable": _gauge("1 if the inbox of the route can be reached.", "route"),
    "gcwatch_cases": _gauge("Cases at each stage, or that ended so.", "route", "stage"),
    "gcwatch_cases_needing_somebody": _gauge(
        "Cases that failed, were delivered with something to check, or wait for a person (stuck), "
        "while their folder is in the inbox.",
        *("route", "why"),
    ),
    "gcwatch_longest_wait_seconds": _gauge(
        "How long ago the open case that has waited longest last came further; 0 without one.",
        "route",
    ),
    "gcwatch_deliveries_total": _counter("Cases delivered, since the journal began.", "route"),
    "gcwatch_last_delivery_timestamp_seconds": _gauge("When a case was last delivered.", "route"),
    "gcwatch_failures_total": _counter(
        "Failures of cases by reason, since the journal began.", "route", "reason"
    ),
    "gcwatch_uploaded_bytes_total": _counter(
        "Bytes of complete uploads, since the journal began.", "route"
    ),
    "gcwatch_platform_requests_total": _counter(
        "Requests to the platform and its storage by outcome, since gcwatch started.", "outcome"
    ),
    "gcwatch_platform_last_answer_timestamp_seconds": _gauge(
        "When the platform last answered a request well, since gcwatch started."
    ),
    "gcwatch_hosts": _gauge(
        "Hosts that share the journal: alive, or silent (dead, or without the database).", "state"
    ),
    "gcwatch_mirror_last_run_timestamp_seconds": _gauge(
        "When the last run of the mirror ended, well or not.", "mirror"
    ),
    "gcwatch_mirror_failed": _gauge(
        "1 if the last run of the mirror failed, or could not fetch an item.", "mirror"
    ),
    "gcwatch_mirror_items": _gauge("Items of the mirror on disk.", "mirror"),
}
"""All metrics; docs/service.md lists them."""

_Samples = Iterable[tuple[tuple[str, ...], float]]


def metrics_text(facts: MetricsFacts) -> bytes:
    """Given what is known, return it in Prometheus' text format."""
    # Late: only a gcwatch that writes metrics needs it.
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 -- as above

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(facts))
    return generate_latest(registry)


@dataclass(frozen=True, eq=False)  # the registry wants it hashable
class _Collector:
    """Gives the numbers of one moment to Prometheus' library."""

    facts: MetricsFacts

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client import core  # noqa: PLC0415 -- late, as above

        classes = {"gauge": core.GaugeMetricFamily, "counter": core.CounterMetricFamily}
        samples = _samples(self.facts)
        for name, spec in METRICS.items():
            family = classes[spec.kind](name, spec.meaning, labels=spec.labels)
            for labels, value in samples[name]:
                family.add_metric(labels, value)
            yield family


def _samples(facts: MetricsFacts) -> Mapping[str, _Samples]:
    """Return the labels and values of every metric."""
    routes, totals = sorted(facts.routes), facts.totals
    mirrors = sorted(facts.mirrors.items())
    return {
        "gcwatch_up": [((), float(facts.is_running))],
        "gcwatch_build_info": [((VERSION,), 1)],
        "gcwatch_written_timestamp_seconds": [((), facts.now)],
        "gcwatch_paused": [((each,), float(each == facts.pause)) for each in _PAUSES],
        "gcwatch_inbox_reachable": [((each,), float(each not in facts.away)) for each in routes],
        "gcwatch_cases": [
            ((route, stage), facts.counts.get((route, stage), 0))
            for route in routes
            for stage in STAGES
        ],
        "gcwatch_cases_needing_somebody": [
            ((route, why), facts.needing.get((route, why), 0))
            for route in routes
            for why in ATTENTIONS
        ],
        "gcwatch_longest_wait_seconds": [((each,), facts.waits.get(each, 0)) for each in routes],
        "gcwatch_deliveries_total": [((each,), totals.delivered[each]) for each in routes],
        "gcwatch_last_delivery_timestamp_seconds": [
            ((each,), totals.last_delivery[each]) for each in routes if each in totals.last_delivery
        ],
        "gcwatch_failures_total": [
            (labels, number)
            for labels, number in sorted(totals.failures.items())
            if labels[0] in facts.routes
        ],
        "gcwatch_uploaded_bytes_total": [((each,), totals.uploaded[each]) for each in routes],
        "gcwatch_platform_requests_total": [((each,), n) for each, n in facts.calls.items()],
        "gcwatch_platform_last_answer_timestamp_seconds": _known((), facts.last_answer),
        "gcwatch_hosts": [((state,), number) for state, number in facts.hosts.items()],
        "gcwatch_mirror_last_run_timestamp_seconds": [
            sample for name, each in mirrors for sample in _known((name,), each.ended)
        ],
        "gcwatch_mirror_failed": [((name,), float(each.has_failed)) for name, each in mirrors],
        "gcwatch_mirror_items": [((name,), each.items) for name, each in mirrors],
    }


def _known(labels: tuple[str, ...], value: float | None) -> list[tuple[tuple[str, ...], float]]:
    """Return a sample if there is a value."""
    return [] if value is None else [(labels, value)]


_TABLE: Final = "| metric | labels | meaning |\n|---|---|---|\n"


def page_with_metrics(page: str) -> str:
    """Given docs/service.md, return it with its table of metrics renewed."""
    before, _, after = page.partition(_TABLE)
    rest = after[after.index("\n\n") :]
    rows = "\n".join(
        f"| `{name}` | {', '.join(spec.labels) or '-'} | {spec.meaning} |"
        for name, spec in METRICS.items()
    )
    return f"{before}{_TABLE}{rows}{rest}"
