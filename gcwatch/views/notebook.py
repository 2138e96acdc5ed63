"""Progress in a notebook (Jupyter, VS Code …): text that IPython itself replaces in place.

Nothing is imported: a notebook has IPython loaded.
"""

import io
import sys
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console, RenderableType

from gcwatch.threads.periodic import PeriodicThread

_COLUMNS: Final = 100
_INTERVAL_SECONDS: Final = 1.0


def in_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    shell = _ipython("get_ipython")
    return shell is not None and hasattr(shell(), "kernel")


def _ipython(name: str) -> Any:
    return getattr(sys.modules.get("IPython"), name, None)


class NotebookOutput(PeriodicThread):
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
