"""Draws what changes: on a terminal below the log lines, in a notebook below its cell.

In a notebook (Jupyter, VS Code …) IPython replaces a text in place. It is loaded there already, so
nothing of it is imported.
"""

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO, cast

from rich.console import Console, RenderableType
from rich.file_proxy import FileProxy
from rich.live import Live

from gcwatch.threads.periodic import PeriodicThread
from gcwatch.views.terminal import console

_COLUMNS: Final = 100
_INTERVAL_SECONDS: Final = 1.0


@contextmanager
def drawn(show: Callable[[], RenderableType]) -> Iterator[TextIO]:
    """Draw what *show* returns, again and again, while the context is open; on a pipe nothing.

    Yield the stream for log lines.
    """
    screen = console(stderr=True)
    if _in_notebook():
        with _NotebookOutput(show):
            yield sys.stderr
    elif screen.is_terminal:
        with Live(get_renderable=show, console=screen, refresh_per_second=2, transient=True):
            # Log lines are coloured already, and are longer than any terminal: they wrap.
            yield cast(TextIO, FileProxy(screen, sys.stderr))
    else:
        yield sys.stderr


def _in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell is not None and hasattr(shell(), "kernel")


class _NotebookOutput(PeriodicThread):
    """The output of a cell while the context is open: what *draw* returns, once a second."""

    def __init__(self, draw: Callable[[], RenderableType]) -> None:
        super().__init__("notebook", _INTERVAL_SECONDS)
        self._draw = draw
        display = sys.modules["IPython.display"].display
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def tick(self) -> None:
        """Replace the output by what is so now."""
        self._handle.update(self._bundle(), raw=True)

    def on_stop(self) -> None:
        """Show how it ended."""
        self.tick()

    def _bundle(self) -> dict[str, str]:
        page = Console(file=io.StringIO(), width=_COLUMNS, highlight=False, legacy_windows=False)
        page.print(self._draw())
        text: str = page.file.getvalue()  # type: ignore[attr-defined]
        return {"text/plain": text.strip()}
