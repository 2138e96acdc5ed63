"""The end of systemd's notify socket that a manager listens at."""

import select
import socket
import threading
from contextlib import suppress


class Ear:
    """The manager's end of a notify socket; remembers all that it was told.

    It always listens, as a manager does: few messages wait in a socket, and more are lost.
    """

    def __init__(self, address):
        self.address = address
        self.told = []
        self._news = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self._end, self._closing = socket.socketpair()
        self._listener = threading.Thread(target=self._keep_listening)
        self._listener.start()

    def close(self):
        self._closing.close()
        self._listener.join()
        for each in (self._end, self._socket):
            each.close()

    def _keep_listening(self):
        while self._end not in select.select([self._socket, self._end], [], [])[0]:
            self.listen()

    def listen(self):
        """Take down what has arrived; return everything so far, as fields."""
        with self._news:
            with suppress(BlockingIOError):
                while True:
                    text = self._socket.recv(4096, socket.MSG_DONTWAIT).decode()
                    self.told.append(dict(line.split("=", 1) for line in text.splitlines()))
            self._news.notify_all()
            return [*self.told]

    def heard(self, key, start=0):
        return [each[key] for each in self.listen()[start:] if key in each]

    def is_silent(self):
        """Whether no sign of life came for longer than a manager would wait."""
        return not self.hears_life(1.0)

    def hears_life(self, seconds=60.0):
        """Wait for another sign of life; return whether it came."""
        before = len(self.heard("WATCHDOG"))
        with self._news:
            return self._news.wait_for(lambda: len(self.heard("WATCHDOG")) > before, seconds)
