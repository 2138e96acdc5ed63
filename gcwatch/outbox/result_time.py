"""When the results of a job were stored: a job has no time, but the storage has one for each file.

Only the header of a file is read.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

from gcwatch.platform.client import GrandChallenge
from gcwatch.platform.models import Job


def day_of_results(job: Job, platform: GrandChallenge) -> date | None:
    """Return the day (UTC) on which a job's results were stored; None if no file tells it."""
    for url in _result_files(job, platform):
        with platform.open_media(url, 0) as reply:
            return _day(reply.headers.get("Last-Modified", ""))
    return None


def _result_files(job: Job, platform: GrandChallenge) -> Iterator[str]:
    yield from (value.file for value in job.outputs if value.file)
    for value in job.outputs:
        if value.image:
            yield from (file.file for file in platform.image(value.image).files)


def _day(told: str) -> date | None:
    try:
        return datetime.fromtimestamp(parsedate_to_datetime(told).timestamp(), UTC).date()
    except (ValueError, OverflowError):
        return None
