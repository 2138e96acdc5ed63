"""Ports for programs that tests start."""

import secrets
import socket
from contextlib import suppress
from pathlib import Path


def free_port():
    """A port that is free, and that the system gives to nobody who asks for any."""
    lowest, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    while True:
        port = secrets.choice(range(10_000, max(int(lowest), 20_000)))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def answers(port):
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
