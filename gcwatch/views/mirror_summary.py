"""What came of a mirror's run, in a sentence, for gcwatch mirror."""

from rich.text import Text

from gcwatch.core.text import count_noun, data_size
from gcwatch.mirror.run import MirrorSummary


def mirror_summary(summary: MirrorSummary) -> Text:
    """Given what came of a mirror's run, return it in a sentence."""
    counts = (
        (summary.fetched, "fetched"),
        (summary.changed, "changed"),
        (summary.unchanged, "unchanged"),
        (summary.gone, "gone from the archive"),
        (summary.failed, "failed"),
    )
    parts = ", ".join(f"{count} {what}" for count, what in counts if count)
    moved = f"; {data_size(summary.bytes)} in {summary.seconds:.1f} s" if summary.bytes else ""
    return Text(
        f"{summary.mirror}: {count_noun(summary.items, 'item')}, {parts or 'nothing'}{moved}."
    )
