"""What a failure note says: first to whoever dropped the folder, then to IT."""

from collections.abc import Iterator

from gcwatch.core.case import Case
from gcwatch.core.reasons import Explanation, Reason, explain
from gcwatch.core.receipt import RETRY_FILE
from gcwatch.core.text import readable_name

_TRIED_AGAIN = (
    "You can do that in the inbox: when the folder has changed and is complete, it is tried "
    "again automatically. Or take the folder out, wait two minutes, and drop it again."
)


def failure_note_text(case: Case, *, once: bool = False, operator_files: bool = False) -> str:
    """Given a failed case, return the text of its `<folder>.failed.txt`.

    The first part has no jargon and no commands. With *once*, the case belongs to one `gcwatch
    send` and not to a route: there is no inbox, and no config file in which commands find the case.
    With *operator_files*, a file in the outbox does what the command does.
    """
    assert case.failure is not None, "only a failed case has a failure note"
    words = explain(case.failure)
    lines = [words.plain, "", *_for_sender(case.failure, words, once=once)]
    lines += ["", "For IT:", *(f"  {line}" for line in _for_it(case, words, once=once))]
    if operator_files:
        lines.append(f"  {retry_by_file(case)}")
    return "\n".join([*lines, ""])


def retry_by_file(case: Case) -> str:
    """Given a case, return the sentence that says how to retry it by an operator file."""
    name = readable_name(case.folder.rpartition("/")[2])
    return f"Without a command: make an empty file {name}{RETRY_FILE} beside this note."


def _for_sender(reason: Reason, words: Explanation, *, once: bool) -> Iterator[str]:
    if name := reason.names.get("file"):
        yield f"The file: {readable_name(name)}"
    yield f"What to do: {words.advice or 'Please show this note to IT.'}"
    if words.advice and not once:
        yield _TRIED_AGAIN


def _for_it(case: Case, words: Explanation, *, once: bool) -> Iterator[str]:
    yield readable_name(words.detail)
    if words.hint and words.hint != words.advice:
        yield words.hint
    history = "." if once else f"; its history: gcwatch show {case.key}"
    yield f"Case {case.key}{history}"
    again = "the same gcwatch send" if once else f"gcwatch retry {case.key}"
    yield f"When the cause is corrected: {again}"
