"""Runs one parser under atheris in this process, which ends at the first file that breaks a rule.

`python -m tests.fuzz.process PARSER FILE OPTIONS...`: FILE gets what was found; OPTIONS are
libFuzzer's.
"""

import functools
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))
with atheris.instrument_imports(include=["gcwatch"], enable_loader_override=False):
    from tests.fuzz.parsers import PARSERS

SLOWEST_SECONDS = 20
MOST_MIB = 512


def read_or_exit(read: Callable[[bytes], None], found: Path, content: bytes) -> None:
    """Read one file; on an error that no parser may raise, keep the file and end the process."""
    try:
        read(content)
    except Exception:  # noqa: BLE001 - that is what is looked for
        traceback.print_exc()
        found.write_bytes(content)
        sys.stderr.flush()
        os._exit(1)  # an exception would go through libFuzzer, whose alarm may end Python first


def main() -> None:
    """Make the corpus, and run until an option of libFuzzer ends it."""
    name, found, *options = sys.argv[1:]
    parser = PARSERS[name]
    corpus = Path("corpus")
    corpus.mkdir()
    for number, content in enumerate(parser.seeds.values()):
        (corpus / str(number)).write_bytes(content)
    limits = (
        f"-max_len={parser.most_bytes}",
        "-len_control=0",
        f"-timeout={SLOWEST_SECONDS}",
        f"-rss_limit_mb={MOST_MIB}",
        f"-artifact_prefix={found}-",
    )
    read = functools.partial(read_or_exit, parser.read, Path(found))
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], read)
    atheris.Fuzz()


main()
