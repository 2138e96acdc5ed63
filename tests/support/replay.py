"""Plays recorded exchanges with the platform against a sandbox, call by call.

What the platform named (pks, URLs, ETags) is learned from the answers and put into the requests
that follow. Held equal are the status of each answer, the headers that mean something, the keys
and JSON types of what it holds, and error bodies to the letter.
"""

import json
import random
import re

from support.sandbox_user import mha, patient, zipped

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

GARBAGE = bytes(range(256)) * 20
FILES = {
    "garbage.mha": GARBAGE,
    "trunc.mha": mha(*range(100))[:-50],
    "k-0001.zip": zipped(patient("98892001/CT5N")),
    "k-0002.zip": zipped(patient("98892001/CT5N")),
    "k-0003.zip": zipped(patient("98892001/CT5N")),
    "k-0004.zip": zipped(patient("98892003/MR1")),
}


UNTOLD = {"next", "previous", "value", "average_duration", "description", "_note"}
DURATIONS = {"exec_duration", "invoke_duration"}


class Replay:
    """Plays one recording against a sandbox."""

    def __init__(self, sandbox, user, recording):
        self.sandbox = sandbox
        self.user = user
        self.recording = recording
        self.exchanges = recording["exchanges"]
        self.names = {}
        self.files = {}
        self.tokens = {
            "<token:alice>": sandbox.token,
            "<token:poor>": sandbox.token,
            "<token:expired>": sandbox.token,
            "<token:bob>": sandbox.bob_token,
            "<token:eve>": sandbox.bob_token,
            "<wrong token that begins like alice's>": sandbox.token[:8] + "0" * 56,
        }

    def run(self):
        for exchange in self.exchanges:
            exchange["response"] = sort_inputs(exchange["response"])
            self.arrange(exchange)
            reply = self.send(exchange)
            self.compare(exchange, reply)
            self.learn(exchange, reply)

    def arrange(self, exchange):
        """Bring about what the recording's step says, beside the call."""

    def send(self, exchange):
        """Send the call; a poll is repeated until it has the recorded progress."""
        reply = self.send_once(exchange)
        wanted = progress_of(exchange["response"])
        for _ in range(60):
            if exchange["method"] != "GET" or wanted in {None, progress_of(body_of(reply))}:
                break
            self.sandbox.advance(40)
            reply = self.send_once(exchange)
        return reply

    def send_once(self, exchange):
        data = None if exchange["request"] is None else self.content(exchange)
        return self.user.request(
            exchange["method"],
            self.live_url(exchange),
            data=data,
            headers=self.headers(exchange),
            allow_redirects=False,
            timeout=60,
        )

    def headers(self, exchange):
        sent = dict(exchange["sent"])
        for name, token in self.tokens.items():
            sent["authorization"] = sent.get("authorization", "").replace(name, token)
        return {name: value for name, value in sent.items() if value}

    def live_url(self, exchange):
        url = exchange["url"]
        if url in self.names:
            live = self.names[url]
            damaged = "damaged signature" in exchange.get("step", "")
            return live[:-4] + "0000" if damaged else live
        return self.live(url)

    def live(self, text):
        """A recorded text with the sandbox's names in it."""
        text = text.replace("https://gc.localhost/api/v1/", self.user.root)
        text = text.replace("https://gc.localhost", self.user.root.removesuffix("/api/v1/"))
        names = re.compile(rf"{UUID}|[0-9a-f]{{40}}_[0-9a-f]{{32}}|\b[0-9a-f]{{32}}\b")
        return names.sub(lambda found: self.names.get(found[0], found[0]), text)

    def content(self, exchange):
        request = exchange["request"]
        if "_text" in request:
            return request["_text"].encode()
        if "_binary" in request:
            return self.file(exchange["url"], request)
        return self.live(json.dumps(request)).encode()

    def file(self, url, request):
        """Bytes for a part: what the upload's name asks for, or noise of the recorded length."""
        name = self.files.get(re.findall(UUID, url)[0], "")
        if name == "k-0006.zip":
            return FILES["k-0001.zip"]
        if name in FILES or name == "k-0005.zip":
            return FILES.get(name, FILES["k-0004.zip"])
        if name.endswith(".mha"):
            return mha(*range(200))
        return random.Random(request["sha256"]).randbytes(int(request["_binary"].split()[0]))

    def compare(self, exchange, reply):
        where = f"exchange {exchange['n']}: {exchange['method']} {exchange['url']}"
        assert exchange["status"] == reply.status_code, f"{where}: {reply.text}"
        expected, actual = exchange["headers"], reply.headers
        for name in {"content-type", "allow", "www-authenticate"} & set(expected):
            assert expected[name] == actual[name], where
        assert ("location" in expected) == ("location" in actual), where
        recorded, told = exchange["response"], body_of(reply)
        if isinstance(recorded, dict) and "_html" in recorded:
            assert f"<title>{recorded['title']}</title>" in told, where
        elif isinstance(recorded, dict) and "<Error>" in recorded.get("_text", ""):
            pattern = r"<Code>\w+</Code><Message>[^<]*</Message>"
            assert re.findall(pattern, recorded["_text"]) == re.findall(pattern, told), where
        elif exchange["status"] >= 400 and recorded is not None:
            assert json.loads(self.live(json.dumps(recorded))) == told, where
        elif recorded is not None and "/api/v1/" in exchange["url"]:
            # The recorder kept the rows only of one list, and of long ones but some.
            rows = told["results"] if isinstance(recorded, list) else told
            assert shapes_differ(recorded, rows, where) == []
            assert said(recorded) == said(told), where

    def learn(self, exchange, reply):
        """Remember what the sandbox calls the things that the recording names."""
        told = body_of(reply)
        if exchange["url"].endswith("/uploads/") and exchange["status"] == 201:
            self.files[exchange["response"]["pk"]] = exchange["response"]["filename"]
        self.match(exchange["response"], told)
        if isinstance(exchange["response"], dict | list) and isinstance(told, dict | list):
            self.pair(exchange["response"], told)
        for name in {"etag", "location"} & set(exchange["headers"]):
            self.pair(exchange["headers"][name].strip('"'), reply.headers[name].strip('"'))

    def match(self, recorded, told):
        """Pair the rows of a list that hold the same uploads."""
        if not isinstance(recorded, dict) or "results" not in recorded:
            return
        for row in recorded["results"]:
            for other in told["results"]:
                uploads = json.loads(self.live(json.dumps(row.get("uploads"))))
                if uploads and uploads == other["uploads"]:
                    self.pair(row, other)

    def pair(self, recorded, told):
        if isinstance(recorded, dict) and isinstance(told, dict):
            for key in set(recorded) & set(told):
                self.pair(recorded[key], told[key])
        elif isinstance(recorded, list) and isinstance(told, list):
            for one, other in zip(recorded, told, strict=False):
                self.pair(one, other)
        elif isinstance(recorded, str) and isinstance(told, str):
            self.names.setdefault(recorded, told)
            for one, other in zip(re.findall(UUID, recorded), re.findall(UUID, told), strict=False):
                self.names.setdefault(one, other)


def progress_of(body):
    """What a poll is about: a status, or how many values there are."""
    if isinstance(body, list):
        return progress_of(body[0]) if body else None
    if not isinstance(body, dict):
        return None
    rows = body.get("results")
    if isinstance(rows, list) and len(rows) == 1:
        return progress_of(rows)
    return len(body["values"]) if "values" in body else body.get("status")


def body_of(reply):
    kind = reply.headers.get("Content-Type", "")
    return sort_inputs(reply.json()) if kind == "application/json" else reply.text


def sort_inputs(body):
    """The answer to a job's POST has its inputs in no particular order."""
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if inputs and all(isinstance(each, dict) and "pk" in each for each in inputs):
        inputs.sort(key=lambda each: str(each["interface"]))
    return body


def said(body):
    """What is worded alike: the end of an import and why."""
    if not isinstance(body, dict) or not body.get("error_message"):
        return None
    return body["status"], body["error_message"]


def shapes_differ(recorded, told, where):
    """Where keys or JSON types differ. Rows of a list are compared by the first of each."""
    if isinstance(recorded, dict) and isinstance(told, dict):
        if re.fullmatch(UUID, str(recorded.get("pk"))) and not re.fullmatch(UUID, str(told["pk"])):
            return [f"{where}.pk"]
        if set(recorded) - {"_note"} != set(told):
            return [f"{where}: keys {set(recorded) ^ set(told)}"]
        # A job that failed has durations in recording 09, and none in recording 22.
        untold = UNTOLD | (DURATIONS if recorded.get("status") == "Failed" else set())
        return [
            difference
            for key in recorded
            if key not in untold
            for difference in shapes_differ(recorded[key], told[key], f"{where}.{key}")
        ]
    if isinstance(recorded, list) and isinstance(told, list):
        return shapes_differ(recorded[0], told[0], f"{where}[0]") if recorded and told else []
    return [] if type(recorded) is type(told) else [f"{where}: {recorded!r} and {told!r}"]
