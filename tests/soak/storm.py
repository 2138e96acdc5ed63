"""What goes wrong in a soak, by chance: calls that suffer, and lives that end."""

from dataclasses import dataclass

UPLOAD = (
    ("api", "POST", "uploads/$"),
    ("api", "PATCH", "presigned"),
    ("api", "PATCH", "complete-multipart"),
    ("storage", "PUT", ""),
)
SUBMIT = (
    ("api", "POST", "upload-sessions/$"),
    ("api", "POST", "algorithms/jobs/$"),
    ("api", "POST", "display-sets/$"),
    ("api", "POST", "archives/items/$"),
    ("api", "PATCH", "display-sets/"),
    ("api", "PATCH", "archives/items/"),
)
FOLLOW = (
    ("api", "GET", "algorithms/jobs/"),
    ("api", "GET", "upload-sessions/"),
    ("api", "GET", "display-sets/"),
    ("api", "GET", "archives/items/"),
    ("api", "GET", "media"),
    ("api", "GET", ""),
    ("storage", "GET", ""),
)
PLACES = (*UPLOAD, *SUBMIT, *SUBMIT, *FOLLOW)

API = (
    "cut_before",
    "cut_after",
    "cut_after",
    "slow",
    "truncate",
    "500",
    "502",
    "503",
    "504",
    "429",
)
STORAGE = ("cut_before", "cut_after", "slow", "truncate", "403", "500", "503")


@dataclass
class Storm:
    """Sets faults by chance."""

    platform: object
    chance: object
    faults: int = 0

    def strike(self):
        """Let one to three calls of one sort suffer, at once or a little later."""
        host, method, path = self.chance.choice(PLACES)
        what = self.chance.choice(API if host == "api" else STORAGE)
        if host == "api" and self.chance.random() < 0.02:
            what = "401"
        where = {"host": host, "method": method, "path": path}
        when = {"nth": self.chance.randint(1, 6), "times": self.chance.randint(1, 3)}
        self.platform.tell("fault", **self._fault(what, host), **where, **when)
        self.faults += 1

    def _fault(self, what, host):
        match what:
            case "slow":
                return {"action": "delay", "seconds": self.chance.uniform(0.1, 2.0)}
            case "429":
                headers = {"Retry-After": str(self.chance.randint(1, 3))}
                return {"action": "status", "status": 429, "body": "{}", "headers": headers}
            case "401":
                body = '{"detail": "Invalid token."}'
                return {"action": "status", "status": 401, "body": body}
            case "500" | "502" | "503" | "504" | "403":
                body = "<Error/>" if host == "storage" else None
                return {"action": "status", "status": int(what), "body": body}
            case _:
                return {"action": what}

    def black_out(self):
        """Nobody is reached any more, until `clear`."""
        self.platform.tell("fault", action="cut_before", times=None)
        self.faults += 1

    def lose_replies(self):
        """The first reply of each sort of call is lost."""
        self.platform.tell("lose_each_once")
        self.faults += 1

    def clear(self):
        """Forget what has not struck yet."""
        self.platform.tell("clear_faults")
        self.platform.tell("forget_calls")
