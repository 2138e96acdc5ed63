"""`python -m gcwatch.sandbox`: a sandbox as a process of its own."""

import argparse
from pathlib import Path

from gcwatch.sandbox.serve import serve


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m gcwatch.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of the API; 0 picks a free one")
    parser.add_argument("--dir", type=Path, required=True, help="where it keeps its files")
    parser.add_argument("--tls", action="store_true", help="serve https")
    options = parser.parse_args()
    serve(options.dir, options.port, tls=options.tls)


if __name__ == "__main__":
    main()
