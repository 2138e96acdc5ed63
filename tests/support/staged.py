"""Results put into a staging folder of an outbox, and published."""

from pathlib import Path

from gcwatch.outbox import publish
from gcwatch.outbox.staging import StagingPlace


def staging_of(outbox, key):
    """The staging place of a case; its note is beside the outbox, as in a state directory."""
    return StagingPlace(outbox, key, outbox.with_name(f"{outbox.name}-state") / f"{key}.json")


def open_staging(outbox, key):
    """The path of a case's staging folder."""
    return Path(str(staging_of(outbox, key).open()))


def publish_as(outbox, key, folder="p1", receipt=None, **files):
    """Publish a result with these files; return its name."""
    staging = open_staging(outbox, key)
    for name, text in files.items():
        (staging / name).write_text(text)
    return publish.publish_results(staging_of(outbox, key), folder, receipt or {"route": "lobes"})
