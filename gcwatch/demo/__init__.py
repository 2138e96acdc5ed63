"""`gcwatch demo`: run the daemon on example patients against a sandbox, and verify the results.

Nothing that the daemon needs is in here, and nothing in here opens an address outside this machine.
"""

from gcwatch.demo.run import has_demo, latest_cases, run_demo
from gcwatch.demo.verify import find_problems

__all__ = ["find_problems", "has_demo", "latest_cases", "run_demo"]
