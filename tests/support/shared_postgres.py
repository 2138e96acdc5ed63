"""One PostgreSQL for all workers of a run of pytest: it starts when the first test needs it.

As a program it runs the server until the process of the run has ended, in whatever way.
"""

import fcntl
import os
import select
import subprocess
import sys

from support.checkout import TESTS
from support.postgres import PostgresServer


def shared_server(folder, run, prepare=lambda _: None):
    """The folder of the socket of a run's server.

    Args:
        folder: A folder that the workers of the run share.
        run: The process with which the server ends.
        prepare: What is done once, given that folder, before another worker gets it.
    """
    with (folder / "postgres").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if place := file.read():
            return place
        place = _start(run)
        prepare(place)
        file.write(place)
    return place


def _start(run):
    """Start the program; return the folder of the server's socket."""
    program = subprocess.Popen(
        [sys.executable, "-m", "support.shared_postgres", str(run)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=TESTS,
        start_new_session=True,  # Ctrl-C ends the run, and so the server
    )
    with program.stdout:
        place = program.stdout.readline().strip()
    assert place, "the server did not start"
    program.returncode = 0  # it outlives whoever started it: nobody waits for it
    return place


def main():
    """Run a server until a process has ended."""
    run = os.pidfd_open(int(sys.argv[1]))
    with PostgresServer() as server:
        print(server.folder, flush=True)
        os.close(sys.stdout.fileno())
        select.select([run], [], [])


if __name__ == "__main__":
    main()
