"""`gcwatch run` at a soak's pace: the command itself, in a process; nothing else differs.

A hospital's pace would leave a lost reply alone for three minutes, and a soak has fifteen.
"""

import sys
from functools import partial

import gcwatch
from gcwatch.cli import main
from gcwatch.steps import Pace

# The doubt is longer than a busy sandbox can take to answer a call whose caller is dead.
PACE = Pace(survey=3.0, backoff=0.3, slowest=10.0, doubt=15.0, upkeep=20.0, refused=1.0)

if __name__ == "__main__":
    gcwatch.open = partial(gcwatch.open, pace=PACE)
    main(sys.argv[1:])
