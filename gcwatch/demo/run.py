"""The demo from its first line to its last."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from rich.text import Text

from gcwatch import config, log
from gcwatch.api import Watch
from gcwatch.demo import scene, story
from gcwatch.demo.proof import Cases, problems
from gcwatch.views.progress import TransferMeter, transfer_progress
from gcwatch.views.terminal import console

_SECONDS: Final = 200.0
"""After which it is not waited for what does not come to its end."""


def was_here(folder: Path) -> bool:
    """Given a folder to keep a demo in, return whether there is one already."""
    return (folder / "gcwatch.toml").exists()


def demo(keep: Path | None = None) -> list[str]:
    """Run the demo, in *keep* or in a temporary folder; return what went wrong, if anything."""
    screen = console()
    story.begin(screen)
    with _place(keep) as folder, scene.sandbox(folder / "sandbox") as platform:
        file = scene.write_config(folder, platform)
        platform.fill_archive()
        scene.drop_patients(folder)
        cases = _work(file)
        wrong = list(problems(folder, cases, platform.state()))
        story.tell(screen, folder, cases)
    if not wrong:
        screen.print(
            Text("Every result is here with the right bytes; refusals are explained.", "green")
        )
    if keep:
        screen.print(f"Look at the cases:    gcwatch --config {file} status")
        screen.print(
            f"The platform again:   gcwatch sandbox --dir {folder}/sandbox --port {platform.port}"
        )
    return wrong


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="gcwatch-demo-") as name:
            yield Path(name)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()


def _work(file: Path) -> Cases:
    """Be the daemon until every folder has come to its end; return the cases by their folders."""
    settings, meter, stop = config.load(file), TransferMeter(), threading.Event()
    with (
        closing(Watch(settings, progress=meter)) as watch,
        transfer_progress(meter, watch.counts) as stream,
    ):
        log.configure(settings.log, stream=stream)
        judge = threading.Thread(target=_wait_for_the_end, args=(watch, stop))
        judge.start()
        try:
            watch.run(stop)
        finally:
            stop.set()
            judge.join()
            log.reset_logging()
    return outcome(file)


def outcome(file: Path) -> Cases:
    """Given a config file, return each folder's latest case, by route and folder."""
    with closing(Watch(config.load(file))) as watch:
        return {(case.route, case.folder): case for case in watch.cases()}


def _wait_for_the_end(watch: Watch, stop: threading.Event) -> None:
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and not stop.wait(0.1):
        cases = watch.cases()
        if len(cases) == scene.CASES and not any(case.is_open for case in cases):
            break
    stop.set()
