"""What is imported only once it is used: names of a package (PEP 562), and libraries."""

import sys
import threading
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


_importing = threading.Lock()


def import_alone(*modules: str) -> None:
    """Import modules of a library in one thread at a time, before any of them is used.

    Where they import each other, two threads that begin at the same moment wait for each other's
    modules, and Python ends that by giving one of them a module that is not complete.
    """
    if all(name in _complete for name in modules):
        return
    with _importing:
        for name in modules:
            import_module(name)
            _complete.add(name)


_complete: set[str] = set()
