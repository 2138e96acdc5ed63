"""Looks for files that break a parser: `make fuzz`, or `make fuzz ARGS="png --seconds 600"`."""

import argparse
import sys
from pathlib import Path

from tests.fuzz.run import PARSER_NAMES, fuzz


def main() -> int:
    """Read the options; return 1 if a file was found, which is then in the folder build/fuzz."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("what", nargs="*", help=", ".join(PARSER_NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each parser")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    options = parser.parse_args()
    if unknown := set(options.what) - set(PARSER_NAMES):
        parser.error(f"no such parser: {', '.join(unknown)}")
    folder = Path("build/fuzz").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    broken = False
    for name in options.what or PARSER_NAMES:
        wanted = (f"-max_total_time={options.seconds}", f"-seed={options.seed}")
        done = fuzz(name, folder / name, *wanted)
        broken |= done.returncode != 0
        print(f"{name}: {'broken' if done.returncode else 'sound'}, {done.runs} files tried")
        print(done.told if done.returncode else "", end="")
    return int(broken)


sys.exit(main())
