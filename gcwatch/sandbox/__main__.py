"""`python -m gcwatch.sandbox`: run a sandbox in its own process."""

import argparse
from pathlib import Path

from gcwatch.sandbox.serve import serve


def main() -> None:
    """Read the options and run a sandbox until a signal stops it."""
    parser = argparse.ArgumentParser(prog="python -m gcwatch.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port of the API; 0 picks a free one")
    parser.add_argument("--dir", type=Path, required=True, help="folder for the sandbox's files")
    parser.add_argument("--tls", action="store_true", help="serve https")
    options = parser.parse_args()
    serve(options.dir, options.port, tls=options.tls)


if __name__ == "__main__":
    main()
