"""The process that draws: a request on standard input, the pictures on standard output."""

import json
import sys

from gcwatch.pictures.draw import draw_all
from gcwatch.pictures.drawings import answer, subject_of
from gcwatch.pictures.limits import limit_this_process


def main() -> None:
    """Draw what is asked for."""
    limit_this_process()
    subjects = [subject_of(record) for record in json.load(sys.stdin)]
    sys.stdout.buffer.write(answer(draw_all(subjects)))


if __name__ == "__main__":
    main()
