"""A library whose modules import each other is whole for all threads that begin to use it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest

from gcwatch.late import import_alone

MODULE = """
import threading
here, there = (threading.Event() for _ in range(2))
"""
ONE = """
import time
from {name}.meeting import here, there
here.set()
if there.wait(0.2):
    time.sleep(0.1)  # the other thread waits for this module by now
from {name}.two import value as other
value = 1
"""
TWO = """
from {name}.meeting import here, there
there.set()
here.wait(0.2)
from {name} import one
value = 2
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Two modules that wait for each other, so that two threads meet in the middle of both."""
    name = f"library_{threading.get_native_id()}"
    (tmp_path / name).mkdir()
    for module, text in (("__init__", ""), ("meeting", MODULE), ("one", ONE), ("two", TWO)):
        (tmp_path / name / f"{module}.py").write_text(text.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_two_threads_find_whole_modules(library):
    """Imported each by itself, one of them would find a module without its value."""

    def use(module):
        import_alone(f"{library}.one", f"{library}.two")
        return import_module(f"{library}.{module}").value

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(use, ("one", "two"))) == [1, 2]
