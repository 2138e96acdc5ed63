"""What the tables of the config file say of their keys: the docstrings in their source."""

import ast
import inspect
from collections.abc import Mapping
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import BaseModel


@cache
def descriptions(table: type[BaseModel]) -> Mapping[str, str]:
    """Given a table, return what the docstring below each of its keys says.

    pydantic does the same (`use_attribute_docstrings`), but whenever the program starts.
    """
    found: dict[str, str] = {}
    for each in reversed(table.__mro__[: table.__mro__.index(BaseModel)]):
        [definition] = ast.parse(dedent(inspect.getsource(each))).body
        assert isinstance(definition, ast.ClassDef)
        for key, text in pairwise(definition.body):
            match key, text:
                case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(docstring))):
                    found[name] = inspect.cleandoc(docstring)
    return found


def add_descriptions(schema: dict[str, Any], table: type[BaseModel]) -> None:
    """Given the JSON Schema of a table, add to its keys what they mean."""
    for key, text in descriptions(table).items():
        schema["properties"][key].setdefault("description", text)
