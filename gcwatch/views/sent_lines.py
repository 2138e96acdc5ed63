"""`gcwatch send`: the result of each case, in a few lines."""

from collections.abc import Iterable, Iterator

from rich.console import Console, Group
from rich.text import Text

from gcwatch.commands.send.runs import Sent
from gcwatch.core.text import printable_name
from gcwatch.views.links import knows_links, whole_line, whole_words
from gcwatch.views.terminal import STAGE_STYLES


def sent_lines(cases: Iterable[Sent], screen: Console) -> Group:
    """Given the results of `send`, return a few lines for each; links and paths are whole lines."""
    return Group(*(line for each in cases for line in _sent(each, screen)))


def _sent(sent: Sent, screen: Console) -> Iterator[Text]:
    ending = sent.ending or "waiting"
    heading = Text(f"{printable_name(sent.folder)}  ", "bold")
    heading.append(ending, STAGE_STYLES.get(ending, "cyan"))
    yield heading.append(f"  {sent.case}", "dim")
    # Without outputs there is only a receipt, and the link leads to what was made.
    for fact in (sent.link, str(sent.result) if sent.outputs else ""):
        if fact:
            yield whole_line(fact, before="  ", clickable=knows_links(screen))
    if note := sent_note(sent):
        yield whole_words(note, screen)


def sent_note(sent: Sent) -> str:
    """Given the result of a case, return a remark on it; empty if there is nothing to add."""
    name = printable_name(sent.folder)
    if sent.ending == "delivered" and sent.brought:
        how = {"copied": "copied from the first output folder", "fetched": "fetched again"}
        return f"{name}: sent before; its results were {how[sent.brought]}."
    if sent.earlier and sent.ending:
        return f"{name}: delivered before; nothing was sent now (--again sends it again)."
    if sent.ending == "delivered":
        warnings = "; ".join(sent.warnings)
        return f"{name}: {printable_name(warnings)}" if warnings else ""
    goes_on = "" if sent.ending else " Run the same command again to continue."
    return f"{name}: {printable_name(sent.why)} {sent.hint}".strip() + goes_on
