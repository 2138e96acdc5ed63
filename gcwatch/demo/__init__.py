"""`gcwatch demo`: a sandbox, its archive, real patients, the daemon, and the proof of it all."""

from gcwatch.demo.proof import problems
from gcwatch.demo.run import demo, outcome, was_here

__all__ = ["demo", "outcome", "problems", "was_here"]
