"""What the tests' own house promises, read from their sources."""

import ast
import io
import re
import tokenize

from support.checkout import ROOT, TESTS

MODULES = sorted(path for path in TESTS.rglob("*.py") if "__pycache__" not in path.parts)
SOURCES = sorted([*MODULES, *(ROOT / "gcwatch").rglob("*.py")])


def imported(module):
    """The names of the modules that a module imports, at its top or within."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_test_module_imports_another():
    """What tests share is in tests/support."""
    names = {path.stem for path in MODULES if path.name.startswith("test_")}
    assert len(names) > 80
    assert [
        (str(path), name)
        for path in MODULES
        for name in imported(path)
        if name.rpartition(".")[2] in names
    ] == []


def test_each_exception_to_a_rule_of_the_linter_has_its_reason():
    """Also those that follow another one say so: `as above`."""
    reasoned = re.compile(r"# noqa: [A-Z0-9, ]+ --? \S")
    bare = [
        f"{path.relative_to(ROOT)}:{token.start[0]}"
        for path in SOURCES
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.COMMENT and "noqa" in token.string
        if not reasoned.match(token.string)
    ]
    assert bare == []
