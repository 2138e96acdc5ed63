"""`gcwatch mirror`: the summary of a run, in a sentence."""

from rich.text import Text

from gcwatch.core.text import count_noun, data_size
from gcwatch.mirrors.outcome import MirrorSummary


def mirror_summary(summary: MirrorSummary) -> Text:
    """Given the summary of a mirror's run, return it as a sentence."""
    counts = (
        (summary.fetched, "fetched"),
        (summary.changed, "changed"),
        (summary.unchanged, "unchanged"),
        (summary.gone, "gone from the platform"),
        (summary.failed, "failed"),
    )
    parts = ", ".join(f"{count} {what}" for count, what in counts if count)
    moved = f"; {data_size(summary.bytes)} in {summary.seconds:.1f} s" if summary.bytes else ""
    items = f" {count_noun(summary.items, 'item')}, {parts}{moved}." if parts else ""
    told = f"{items}{_answers(summary)}" or " nothing is there to fetch."
    return Text(f"{summary.mirror}:{told}")


def _answers(summary: MirrorSummary) -> str:
    """Return what is said of a reader study's answers."""
    if not summary.answers:
        return ""
    masks = f", {count_noun(summary.masks_missing, 'mask')} not on the platform"
    return f" {count_noun(summary.answers, 'answer')}{masks * bool(summary.masks_missing)}."
