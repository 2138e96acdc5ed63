"""Nothing that users read advises to switch a protection off.

What counts as advice: a sentence that tells somebody to do it (an imperative, "you can", "ask IT
to") and names a setting that switches a protection off, or the switching itself. A sentence that
describes what a key does is no advice: whoever decides about a protection needs to know what it is.
"""

import ast
import re

import pytest
from support.checkout import ROOT

from gcwatch.core.reasons import CATALOGUE, Reason, explain

OFF = re.compile(
    r"deidentify\W{1,3}(=\W*)?false"
    r"|integrity\W{1,3}(=\W*)?warn"
    r"|burned_in\W{1,3}(=\W*)?allow"
    r"|unscrubbed\W{1,3}=\W*\["
    r"|names\W{1,3}=\W*keep"
    r"|verify\W{1,3}(=\W*)?(false|off)"
    r"|--(insecure|no-verify|no-deidentify|unscrubbed)"
    r"|curl -k|url\W{1,3}=\W*http://(?!127\.|localhost)"
    r"|chmod \S*(777|666|644|o\+|a\+)"
    r"|(switch|turn|leave)(ed|ing|s)?( \S+){0,4} off\b|\b(disable|bypass|deactivate)\b"
    r"|plain http\b|without (TLS|https|de-identification|encryption)"
    r"|(allow|send|accept) (it|them) (anyway|as it is|as they are)\b",
    re.IGNORECASE,
)
"""What switches a protection off."""

ASKS = re.compile(
    r"(?:^|[,;:.(] ?|\b(?:or|and|then|to|you can|you may|should|must|please|simply|instead) )"
    r"(?:set|write|use|add|put|choose|try|change|switch|turn|leave|disable|bypass|deactivate|allow"
    r"|accept|send|give|pass|run|chmod|curl|name)\b",
    re.IGNORECASE,
)
"""How somebody is told to do something."""

ADVICE = [
    'If it has to be as it is, set integrity = "warn".',
    "Write deidentify = false in the route.",
    'Ask somebody whether names are in the picture, then add burned_in = "allow".',
    'Use unscrubbed = ["mrxs"] to send it.',
    "You can switch de-identification off for this route.",
    "To send it all the same, disable the check.",
    "Try verify = false if the certificate is unknown.",
    "If the file can't be read: chmod 777 the token.",
    "Use plain http instead.",
    "If this series is correct, ask IT to allow it anyway.",
    'or, if the platform may see the name, write names = "keep"',
]
DESCRIPTIONS = [
    'With `integrity = "warn"` a route sends what is left, with a warning.',
    'A route that says `unscrubbed = ["mrxs"]` sends this format as it is.',
    "Whether gcwatch de-identifies images on this machine before it sends anything.",
    "Write the token into a file that only its owner may read.",
    "Name the certificates of this network: ca_bundle.",
]


def is_advice(sentence):
    """Whether a sentence tells somebody to switch a protection off."""
    return any(OFF.search(sentence, max(0, asked.start())) for asked in ASKS.finditer(sentence))


def sentences_of(text):
    """The sentences of a text; a row of a table is a sentence for each of its cells."""
    for block in re.split(r"\n\s*\n|\n(?=\s*[-|#])|\|", text):
        yield from re.split(r"(?<=[.!?])\s+", " ".join(block.split()))


def texts_of_program():
    """Each text in the program that is no docstring: messages, hints, help, configs of init."""
    for path in sorted((ROOT / "gcwatch").rglob("*.py")):
        tree = ast.parse(path.read_text())
        inside = {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr | ast.JoinedStr)
            for part in ast.walk(node)
            if part is not node
            and isinstance(part, ast.Constant | ast.JoinedStr)
            and (isinstance(node, ast.JoinedStr) or node.value is part)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = (str(p.value) if isinstance(p, ast.Constant) else "X" for p in node.values)
                yield f"{path.name}:{node.lineno}", "".join(parts)
            elif isinstance(node, ast.Constant) and id(node) not in inside:
                yield f"{path.name}:{node.lineno}", str(node.value)


def helps_of_commands():
    """What --help shows: docstrings of the commands."""
    for path in sorted((ROOT / "gcwatch" / "cli" / "verbs").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
                yield f"{path.name}:{node.lineno}", text


def pages():
    """README, docs, and the files of the repository that users read."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "config").rglob("*.toml")]
    for path in sorted(found):
        text = path.read_text()
        if path.suffix == ".toml":
            text = re.sub(r"(?m)^# ?", "", text)
        yield path.name, text


def reasons():
    """All sentences of the catalogue."""
    for code in CATALOGUE:
        words = explain(Reason(code))
        yield code, f"{words.plain}\n\n{words.detail}\n\n{words.advice}\n\n{words.hint}"


@pytest.mark.parametrize("sentence", ADVICE)
def test_advice_is_recognised(sentence):
    """Each of these would be bad advice."""
    assert is_advice(sentence)


@pytest.mark.parametrize("sentence", DESCRIPTIONS)
def test_a_description_is_no_advice(sentence):
    """What a key does may be said, and advice that protects, too."""
    assert not is_advice(sentence)


@pytest.mark.parametrize("source", [reasons, texts_of_program, helps_of_commands, pages])
def test_no_sentence_advises_to_switch_a_protection_off(source):
    """Reasons, messages, hints, help, docs, examples: all sentences that users can see."""
    found = [
        (where, sentence)
        for where, text in source()
        for sentence in sentences_of(text)
        if is_advice(sentence)
    ]
    assert found == []


def test_texts_of_the_program_are_read():
    """The search sees a hint that is spread over lines, and one with facts in it."""
    texts = " ".join(text for _, text in texts_of_program())
    assert "names of patients, and only on a terminal" in texts
    assert "is too large: such a file has at most" in texts
