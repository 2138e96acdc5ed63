"""Debian's chromium, for tests of the status page; as a program: the picture in docs/folders.md."""

import importlib.util
import io
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from support.status_pages import NOW, morning, page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def why_not():
    """Why no browser can be started here, or None."""
    if not CHROMIUM.exists():
        return "chromium is not installed (apt install chromium)"
    needed = ("playwright", "axe_playwright_python")
    lacking = [name for name in needed if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(lacking)}" if lacking else None


@contextmanager
def open_browser():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 -- only where it is installed

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


def main(target):
    """Write a picture of the page as PNG."""
    with open_browser() as browser, tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "status.html")
        file.write_text(page(morning(4)))
        size = {"width": 900, "height": 700}
        tab = browser.new_context(viewport=size, timezone_id="UTC").new_page()
        tab.clock.install(time=NOW)
        tab.goto(file.as_uri())
        seen = Image.open(io.BytesIO(tab.screenshot(full_page=True)))
        seen.quantize(96).save(target, "PNG", optimize=True)


if __name__ == "__main__":
    main(sys.argv[1])
