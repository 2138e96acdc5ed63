"""The process that makes one large bundle: a request on standard input, the files in the spool."""

import pickle
import sys

from gcwatch.imaging.bundles.bundle import image_bundle


def main() -> None:
    """Make the bundle that is asked for; what refuses it is found again by who asked."""
    files, options, spool, stem = pickle.load(sys.stdin.buffer)  # noqa: S301 - the daemon wrote it
    image_bundle(files, options, spool=spool, stem=stem).written()


if __name__ == "__main__":
    main()
