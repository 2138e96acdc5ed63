"""How several hosts shared the work of a soak: what their logs tell."""

import json
from datetime import datetime

SLOWEST_TAKE_OVER = 60.0


class Sharing:
    """Who did what, and who went on with what.

    Args:
        hosts: All hosts, with their logs.
        losses: What of them was absent, and what each worked on then.
    """

    def __init__(self, hosts, losses):
        self._losses = losses
        self._done = {host.name: 0 for host in hosts}
        self._lines = {}
        for host in hosts:
            for at, event, key in _case_lines(host):
                self._done[host.name] += event == "case.delivered"
                self._lines.setdefault(key, []).append((at, host.name, event))

    def take_overs(self):
        """After how many seconds another host went on with something that a lost host had."""
        return [seconds for name, loss, seconds in self._went_on() if name != loss.host]

    def _went_on(self):
        """Who went on with each case that a lost host had, and after how many seconds.

        A host that is cut off logs something, too: what it says while it is absent does not count.
        """
        for loss in self._losses:
            for key in loss.work & self._lines.keys():
                lines = sorted(self._lines[key])
                later = [
                    (at, name)
                    for at, name, _ in lines
                    if at > loss.at and (name != loss.host or at > loss.back)
                ]
                before = [event for at, _, event in lines if later and at < later[0][0]]
                # A case that had ended waits for nobody: a person corrected its folder later.
                if later and before[-1:] != ["case.explained"]:
                    at, name = later[0]
                    yield name, loss, at - loss.at

    def problems(self):
        """Each host works, and nothing waits for long for one that is lost."""
        if len(self._done) == 1:
            return
        yield from (f"{name} has delivered nothing" for name, n in self._done.items() if not n)
        for _, loss, seconds in self._went_on():
            if seconds > SLOWEST_TAKE_OVER:
                yield f"nobody went on with the work of {loss.host} for {seconds:.0f} s"

    def told(self):
        """What it came to, in a few lines."""
        if len(self._done) == 1:
            return
        shares = ", ".join(f"{name} {number}" for name, number in self._done.items())
        yield f"Cases delivered, by host: {shares}."
        lengths = sorted(round(each.back - each.at) for each in self._losses)
        yield f"{len(lengths)} absences of hosts, of {', '.join(map(str, lengths))} s."
        taken = self.take_overs()
        longest = f"; the slowest after {max(taken):.1f} s" if taken else ""
        held = sum(1 for _ in self._went_on())
        yield f"Others took over {len(taken)} of {held} cases in work then{longest}."


def _case_lines(host):
    """What a host logged of cases: time since the epoch, event and key."""
    for file in host.logs:
        for line in file.read_text().splitlines():
            said = json.loads(line)
            if "case" in said:
                yield datetime.fromisoformat(said["time"]).timestamp(), said["event"], said["case"]
