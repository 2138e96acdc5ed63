"""An algorithm as the source of a mirror: its items are the jobs that the token can see."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal, get_args

from gcwatch.core.errors import Misused, NotYet
from gcwatch.core.reasons import Reason
from gcwatch.mirrors.archive import HOUR_SECONDS, is_unknown_item
from gcwatch.mirrors.receipts import Held, Wanted
from gcwatch.mirrors.tally import TableCounts
from gcwatch.outbox.outputs import output_of
from gcwatch.outbox.result_time import day_of_results
from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Collection, Job

JobStatus = Literal["succeeded", "failed", "cancelled"]
"""How a job can end."""

JOB_STATUSES: Final[Sequence[JobStatus]] = get_args(JobStatus)


@dataclass(frozen=True)
class JobFilter:
    """Which jobs are wanted: those that ended so, with results of that day (UTC) or a later one."""

    status: JobStatus = "succeeded"
    since: date | None = None

    def require_valid(self) -> None:
        """Raise Misused for what only a script without types can give."""
        if self.status not in JOB_STATUSES:
            raise Misused(
                f"There is no status {self.status}.", f"Name one of {', '.join(JOB_STATUSES)}."
            )
        # A datetime is a date, too, but can't be compared with one.
        if self.since is not None and type(self.since) is not date:
            raise Misused("since is not a date.", "Write datetime.date(2026, 11, 1).")


class JobSource:
    """The jobs of an algorithm; see `MirrorSource`. A job that runs is no item yet."""

    def __init__(
        self,
        platform: GrandChallenge,
        slug: str,
        chosen: JobFilter,
        on_progress: Callable[[], None],
    ) -> None:
        self._platform = platform
        self._slug = slug
        self._chosen = chosen
        self._on_progress = on_progress

    def find_place(self) -> Collection:
        """Return the algorithm; raise NotYet (`algorithm_not_found`) if it can't be seen."""
        found = self._platform.algorithm(self._slug)
        if found is None:
            raise NotYet(Reason("algorithm_not_found", {"slug": self._slug}), HOUR_SECONDS)
        return Collection(
            pk=found.pk, api_url=found.api_url, url=found.url, title=found.title, slug=found.slug
        )

    def list_items(self, place: Collection, held: Container[str]) -> list[Wanted]:
        """Return the jobs that are wanted, and those on disk whatever is wanted now."""
        listed = []
        for job in self._platform.jobs(place.pk):
            self._on_progress()
            if job.pk in held or job.status.lower() == self._chosen.status:
                listed.append(job)
        return [_wanted_job(job) for job in self._since(listed, held)]

    def _since(self, jobs: Sequence[Job], held: Container[str]) -> Iterator[Job]:
        """Yield the jobs of the days that are wanted, the newest first."""
        # The list begins with the oldest job, so all jobs before the first old one are old.
        since, is_old = self._chosen.since, False
        for job in reversed(jobs):
            if job.pk in held:
                yield job
                continue
            if since and not is_old:
                day = day_of_results(job, self._platform)
                is_old = day is not None and day < since
            if not is_old:
                yield job

    def load_values(self, wanted: Wanted) -> Wanted:
        """Return the job; the listing has its outputs."""
        return wanted

    def is_gone(self, item: str) -> bool:
        """Return whether the platform does not know a job any more."""
        return is_unknown_item(self._platform, "algorithm", item)

    def write_tables(
        self,
        list_held: Callable[[], Mapping[str, Held]],  # noqa: ARG002 - of another source
    ) -> TableCounts:
        """Write nothing: jobs have no tables."""
        return TableCounts()


def _wanted_job(job: Job) -> Wanted:
    outputs, inputs = (
        tuple(sorted(map(output_of, values), key=lambda each: (each.socket, str(each.pk))))
        for values in (job.outputs, job.inputs)
    )
    return Wanted(job.pk, "", outputs, inputs, job.status)
