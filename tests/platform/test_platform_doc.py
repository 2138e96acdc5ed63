"""docs/platform.md holds together: citations lead to its facts; its facts name their sources."""

import re

from support.checkout import ROOT

PAGE = ROOT / "docs" / "platform.md"
RECORDINGS = ROOT / "tests" / "recordings"
FOLDERS = ("gcwatch", "tests", "docs")

NUMBER = r"\d+(?:\.\d+)?"
CITED = re.compile(rf"\bplatform\s+({NUMBER}(?:(?:,|\s+and|\s+to)\s+{NUMBER})*)\b")
"""One number, or several: `platform 5, 6 and 10.3`."""

OTHER_PAPER = re.compile(r"\bcontract(?:'s)?,?\s+(?:sections?\s+)?\d")
"""A number of the paper that is not in the repository."""

SOURCE = re.compile(
    r"""
    recording\ \d\d
    | openapi\.yaml
    | issue\ \#\d+
    | (?:app|dockerfiles)/[\w./-]+\.(?:py|template)(?:\ \(commit\ [0-9a-f]{7}\))?
    | [a-z]+\ \d+\.\d+\.\d+,\ [\w./-]+\.(?:py|md)
    """,
    re.VERBOSE,
)


def page():
    return PAGE.read_text()


def sections():
    """The numbers of the page's sections, in its order."""
    return re.findall(r"^## (\d+)\. ", page(), re.MULTILINE)


def facts():
    """The text of each numbered fact, by its number."""
    parts = re.split(r"^#{2,3} (.*)$", page(), flags=re.MULTILINE)
    numbered = zip(parts[1::2], parts[2::2], strict=True)
    return {
        title.split()[0]: text
        for title, text in numbered
        if re.fullmatch(r"\d+\.\d+", title.split()[0])
    }


def source_of(text):
    """What a fact says about its source, in one line; "" if it says nothing."""
    found = re.search(r"^Source: (.*?)\.?\s*$(?=\n\n|\n*\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def texts():
    """The code, tests and pages of this repository, by path."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*"))
    wanted = (path for path in found if path.suffix in {".py", ".md"})
    return {str(path.relative_to(ROOT)): path.read_text() for path in wanted}


def test_every_citation_leads_to_a_fact_or_a_section():
    """Whatever number a comment or a page cites is on the page."""
    known = {*sections(), *facts()}
    lost = [
        f"{path}: platform {number}"
        for path, text in texts().items()
        for numbers in CITED.findall(text)
        for number in re.findall(NUMBER, numbers)
        if number not in known
    ]
    assert lost == []


def test_facts_are_numbered_without_a_gap():
    """Sections count from 1, and so do the facts of each; no number is there twice."""
    headings = re.findall(r"^### (\d+\.\d+) ", page(), re.MULTILINE)
    assert sections() == [str(number) for number in range(1, len(sections()) + 1)]
    counts = dict.fromkeys(sections(), 0)
    for heading in headings:
        section, _, number = heading.partition(".")
        counts[section] += 1
        assert int(number) == counts[section], heading


def test_every_fact_names_its_sources():
    """Each ends with a line that names recordings, files with a version, or issues."""
    wrong = {
        number: source_of(text)
        for number, text in facts().items()
        if not all(SOURCE.fullmatch(each) for each in source_of(text).split("; "))
    }
    assert wrong == {}


def test_every_recording_that_is_cited_is_kept():
    """Whoever doubts a fact can look at the exchange."""
    kept = {path.name[:2] for path in RECORDINGS.rglob("*.json")}
    cited = set(re.findall(r"[Rr]ecording (\d\d)\b", page().replace("\n", " ")))
    assert cited
    assert cited <= kept


def test_every_section_is_in_the_table_of_contents():
    """The table has the number, the title and the link of each, in order."""
    listed = re.findall(r"^\| \[(\d+)\]\(#\S+\) \| (.*) \|$", page(), re.MULTILINE)
    assert listed == re.findall(r"^## (\d+)\. (.*)$", page(), re.MULTILINE)


def test_facts_refer_to_facts():
    """A number such as 3.8 within a fact is the number of one."""
    known = facts()
    for number, text in known.items():
        said = re.sub(r"`[^`]*`|\d+\.\d+\.\d+", "", text)
        assert set(re.findall(r"\b\d+\.\d+\b", said)) <= set(known), number


def test_no_other_paper_is_cited():
    """No code, test or page cites a paper that readers of the repository do not have."""
    assert [path for path, text in texts().items() if OTHER_PAPER.search(text)] == []
