"""Connections to PostgreSQL that do not wait for ever."""

import time
from collections.abc import Generator
from typing import Any, Final

import psycopg

LONGEST_SECONDS: Final = 75.0
"""The server cancels what takes longer than a minute; one that does not do even that is away."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose operations end in time, even if the server is frozen.

    Nothing else notices that: the server's kernel answers, and its time-outs are frozen, too.
    """

    longest_seconds = LONGEST_SECONDS

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """See `psycopg.Connection`; all that waits for the server comes by here.

        Raises:
            psycopg.OperationalError: when the server gives no answer in time; it is closed then.
        """
        return super().wait(self._bounded(gen), *args, **kwargs)

    def _bounded(self, gen: Any) -> Generator[Any, Any, Any]:
        """Yield what *gen* yields; raise an error once it has taken too long."""
        end = time.monotonic() + self.longest_seconds
        try:
            wanted = next(gen)
            while True:
                # The one that waits comes back at least ten times a second.
                ready = yield wanted
                if not ready and time.monotonic() > end:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"the server has not answered for {self.longest_seconds:g} s"
                    )
                wanted = gen.send(ready)
        except StopIteration as ended:
            return ended.value
