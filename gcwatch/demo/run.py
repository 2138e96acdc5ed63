"""Run the demo: start a sandbox, run the daemon until all cases end, verify the results."""

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
from gcwatch.demo import output, setup
from gcwatch.demo.verify import Cases, find_problems
from gcwatch.views.progress import TransferMeter, transfer_progress
from gcwatch.views.terminal import console

_TIMEOUT_SECONDS: Final = 200.0
"""The demo stops waiting for open cases after this time."""


def has_demo(folder: Path) -> bool:
    """Return whether a folder holds an earlier demo."""
    return (folder / "gcwatch.toml").exists()


def run_demo(keep: Path | None = None) -> list[str]:
    """Run the demo.

    Args:
        keep: The folder to run in, which is kept; None uses a temporary folder.

    Returns:
        A sentence for each problem; empty if all went well.
    """
    screen = console()
    output.print_introduction(screen)
    with _open_folder(keep) as folder, setup.run_sandbox(folder / "sandbox") as platform:
        file = setup.write_config(folder, platform)
        platform.fill_archive()
        setup.drop_patients(folder)
        cases = _run_daemon(file)
        wrong = list(find_problems(folder, cases, platform.state()))
        output.print_results(screen, folder, cases)
    if not wrong:
        screen.print(
            Text("Every result is here with the right bytes; refusals are explained.", "green")
        )
    if keep:
        screen.print(f"Look at the cases:    gcwatch --config {file} status")
        screen.print(
            f"Start the sandbox:    gcwatch sandbox --dir {folder}/sandbox --port {platform.port}"
        )
    return wrong


@contextmanager
def _open_folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="gcwatch-demo-") as name:
            yield Path(name)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()


def _run_daemon(file: Path) -> Cases:
    """Run the daemon until no case is open; return the cases."""
    settings, meter, stop = config.load(file), TransferMeter(), threading.Event()
    with (
        closing(Watch(settings, progress=meter)) as watch,
        transfer_progress(meter, watch.counts) as stream,
    ):
        log.configure(settings.log, stream=stream)
        waiter = threading.Thread(target=_stop_when_done, args=(watch, stop))
        waiter.start()
        try:
            watch.run(stop)
        finally:
            stop.set()
            waiter.join()
            log.reset_logging()
    return latest_cases(file)


def latest_cases(file: Path) -> Cases:
    """Return the latest case of each folder, by route and folder, from a config file's journal."""
    with closing(Watch(config.load(file))) as watch:
        return {(case.route, case.folder): case for case in watch.cases()}


def _stop_when_done(watch: Watch, stop: threading.Event) -> None:
    until = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < until and not stop.wait(0.1):
        cases = watch.cases()
        if len(cases) == setup.CASE_COUNT and not any(case.is_open for case in cases):
            break
    stop.set()
