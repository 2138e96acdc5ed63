"""What came of gcwatch send, in a few lines a case."""

from collections.abc import Iterable, Iterator

from rich.console import Group
from rich.text import Text

from gcwatch.commands.send.send import Sent
from gcwatch.core.text import printable_name
from gcwatch.views.terminal import STAGE_STYLES


def sent_lines(cases: Iterable[Sent]) -> Group:
    """Given what came of one-off cases, return a few lines for each; links and paths stay whole."""
    return Group(*(line for each in cases for line in _sent(each)))


def _sent(sent: Sent) -> Iterator[Text]:
    ending = sent.ending or "waiting"
    heading = Text(f"{printable_name(sent.folder)}  ", "bold")
    heading.append(ending, STAGE_STYLES.get(ending, "cyan"))
    yield heading.append(f"  {sent.case}", "dim")
    for fact in (sent.link, str(sent.result or "")):
        if fact:
            yield Text(f"  {printable_name(fact)}", no_wrap=True, overflow="ignore")
    if note := sent_note(sent):
        yield Text(note)


def sent_note(sent: Sent) -> str:
    """Given what came of a one-off case, return what has to be said of it, if anything."""
    name = printable_name(sent.folder)
    if sent.earlier:
        return f"{name}: already sent; nothing was sent now (--again would)."
    if sent.ending == "delivered":
        warnings = "; ".join(sent.warnings)
        return f"{name}: {printable_name(warnings)}" if warnings else ""
    goes_on = "" if sent.ending else " The same command goes on with it."
    return f"{name}: {printable_name(sent.why)} {sent.hint}".strip() + goes_on
