"""Names of a package whose modules are imported when a name is first used (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def late_names(package: str, places: Mapping[str, str]) -> Callable[[str], Any]:
    """Given a package and where each of its names is, return the package's `__getattr__`.

    A place is `module`, or `module:attribute` where the attribute is called otherwise.
    """

    def find(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = places[name].partition(":")
        found = getattr(import_module(module), attribute or name)
        # Python finds it there from now on, and does not call this again.
        setattr(sys.modules[package], name, found)
        return found

    return find
