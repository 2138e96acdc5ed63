"""The sandbox, as of November 2025, answers as the running platform was recorded to answer.

Each recording is replayed call by call. What the platform named (pks, URLs, ETags) is learned
from the answers and put into the requests that follow; a poll advances the sandbox's clock until
the recorded status is there. Held equal are the status of each answer, the headers that mean
something, the keys and JSON types of what it holds, and error bodies to the letter.
"""

import json
import random
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sandbox_user import SandboxUser, mha, patient, zipped

from gcwatch.sandbox import Algorithm, Catalogue, Interface, Sandbox, Settings, Socket

FOLDER = Path(__file__).parent / "recordings"
RECORDINGS = sorted(path.stem for path in FOLDER.glob("*.json"))
MIB = 1024**2
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

IMAGE = Socket(1, "Generic Medical Image", "generic-medical-image", "Image", "Image", "")
RESULTS = Socket(3, "Results JSON File", "results-json-file", "Anything", "Value", "results.json")
CT = Socket(8, "Chest CT", "chest-ct", "Image", "Image", "images/chest-ct")
AGE = Socket(10, "Age in years", "age-in-years", "Integer", "Value", "age-in-years.json")
INFO = Socket(12, "Clinical info", "clinical-info", "Anything", "File", "clinical-info.json")
RECORDED = Catalogue(
    sockets=(IMAGE, RESULTS, CT, AGE, INFO),
    algorithms=(
        Algorithm("algo-image", (Interface((IMAGE,), (RESULTS, IMAGE)),)),
        Algorithm("algo-two-inputs", (Interface((CT, AGE), (RESULTS,)),)),
        Algorithm(
            "algo-optional-input",
            (Interface((CT,), (RESULTS,)), Interface((CT, INFO), (RESULTS,))),
        ),
        Algorithm("algo-always-fails", (Interface((CT,), (RESULTS,)),), program="fail"),
        Algorithm("algo-no-image", (Interface((IMAGE, AGE), (RESULTS,)),), ready=False),
        Algorithm(
            "algo-public-no-access", (Interface((IMAGE,), (RESULTS,)),), executors=frozenset()
        ),
        Algorithm("importer", (Interface((IMAGE,), (RESULTS,)),)),
    ),
)

GARBAGE = bytes(range(256)) * 20
FILES = {
    "garbage.mha": GARBAGE,
    "trunc.mha": mha(*range(100))[:-50],
    "k-0001.zip": zipped(patient("98892001/CT5N")),
    "k-0004.zip": zipped(patient("98892003/MR1")),
}


class Replay:
    """Plays one recording against a sandbox."""

    def __init__(self, sandbox, user, recording):
        self.sandbox = sandbox
        self.user = user
        self.recording = recording
        self.exchanges = recording["exchanges"]
        self.names = {}
        self.files = {}

    def prepare(self):
        """Make what was there before the recording began."""
        slugs = {each.slug: each.pk for each in RECORDED.algorithms}
        for recorded, slug in self.recording["algorithms"].items():
            self.names[recorded] = slugs[slug]
        slug = "algo-image" if self.recording["flow"].startswith("15") else "importer"
        for number, recorded in enumerate(self.recording["images"]):
            source = {"user_uploads": [self.user.upload(mha(*range(number, number + 200)))]}
            pk = self.user.start(slug, generic_medical_image=source)
            (image,) = self.user.job(pk)["inputs"]
            self.names[recorded] = image["image"].split("/")[-2]
        self.sandbox.configure(job_seconds=100.0, import_seconds=100.0)

    def run(self):
        for exchange in self.exchanges:
            self.arrange(exchange)
            reply = self.send(exchange)
            self.compare(exchange, reply)
            self.learn(exchange, reply)

    def arrange(self, exchange):
        """Bring about what the recording's step says, beside the call."""
        token = exchange["sent"].get("authorization", "")
        poor, eve = "<token:poor>" in token, "<token:eve>" in token
        self.sandbox.configure(
            credits=0 if poor else 1000,
            byte_quota=20 * MIB if eve else 128 * 1024 * MIB,
            token_valid="<token:expired>" not in token,
        )
        if exchange.get("step", "").startswith("after the task"):
            self.sandbox.expire_uploads()

    def send(self, exchange):
        """Send the call; a poll is repeated until it has the recorded status."""
        reply = self.send_once(exchange)
        wanted = status_of(exchange["response"])
        for _ in range(60):
            if exchange["method"] != "GET" or wanted in {None, status_of(body_of(reply))}:
                break
            self.sandbox.advance(4)
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
        tokens = {
            "<token:alice>": self.sandbox.token,
            "<token:poor>": self.sandbox.token,
            "<token:expired>": self.sandbox.token,
            "<token:bob>": self.sandbox.bob_token,
            "<token:eve>": self.sandbox.bob_token,
            "<wrong token that begins like alice's>": self.sandbox.token[:8] + "0" * 56,
        }
        for name, token in tokens.items():
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
        elif recorded is not None and "_binary" not in recorded and "_text" not in recorded:
            # The recorder kept the rows only of one list.
            rows = told["results"] if isinstance(recorded, list) else told
            assert shapes_differ(recorded, rows, where) == []

    def learn(self, exchange, reply):
        """Remember what the sandbox calls the things that the recording names."""
        told = body_of(reply)
        if exchange["url"].endswith("/uploads/") and exchange["status"] == 201:
            self.files[exchange["response"]["pk"]] = exchange["response"]["filename"]
        if isinstance(exchange["response"], dict | list) and isinstance(told, dict | list):
            self.pair(exchange["response"], told)
        for name in {"etag", "location"} & set(exchange["headers"]):
            self.pair(exchange["headers"][name].strip('"'), reply.headers[name].strip('"'))

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


def status_of(body):
    """The status that a poll is about."""
    if isinstance(body, list):
        return body[0].get("status") if body else None
    if not isinstance(body, dict):
        return None
    rows = body.get("results")
    return status_of(rows[:1]) if isinstance(rows, list) and len(rows) == 1 else body.get("status")


def body_of(reply):
    kind = reply.headers.get("Content-Type", "")
    return reply.json() if kind == "application/json" else reply.text


def shapes_differ(recorded, told, where):
    """Where keys or JSON types differ. Rows of a list are compared by the first of each."""
    if isinstance(recorded, dict) and isinstance(told, dict):
        if re.fullmatch(UUID, str(recorded.get("pk"))) and not re.fullmatch(UUID, str(told["pk"])):
            return [f"{where}.pk"]
        if set(recorded) != set(told):
            return [f"{where}: keys {set(recorded) ^ set(told)}"]
        return [
            difference
            for key in recorded
            if key not in {"next", "previous", "value"}
            for difference in shapes_differ(recorded[key], told[key], f"{where}.{key}")
        ]
    if isinstance(recorded, list) and isinstance(told, list):
        return shapes_differ(recorded[0], told[0], f"{where}[0]") if recorded and told else []
    return [] if type(recorded) is type(told) else [f"{where}: {recorded!r} and {told!r}"]


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_exchanges_are_answered_alike(tmp_path, name):
    """Call by call: status, headers, keys, types and error bodies as recorded."""
    recording = json.loads((FOLDER / f"{name}.json").read_text())
    settings = Settings(schema="2025-11")
    with (
        Sandbox(tmp_path / "sandbox", settings, catalogue=RECORDED) as sandbox,
        SandboxUser(sandbox) as user,
    ):
        replay = Replay(sandbox, user, recording)
        replay.prepare()
        replay.run()


def test_recordings_cover_every_route():
    """The recordings that are kept ask for every sort of call that gcwatch makes."""
    asked = set()
    for name in RECORDINGS:
        for exchange in json.loads((FOLDER / f"{name}.json").read_text())["exchanges"]:
            path = re.sub(UUID, "<pk>", urlsplit(exchange["url"]).path)
            asked.add((exchange["method"], re.sub(r"/[0-9a-f_]{40,}/", "/<id>/", path)))
    api, action = "/api/v1/", "/api/v1/uploads/<pk>/<id>/"
    assert asked >= {
        ("GET", f"{api}profiles/users/self/"),
        ("GET", f"{api}algorithms/"),
        ("GET", f"{api}components/interfaces/"),
        ("POST", f"{api}uploads/"),
        ("GET", f"{api}uploads/<pk>/"),
        ("PATCH", f"{action}generate-presigned-urls/"),
        ("GET", f"{action}list-parts/"),
        ("PATCH", f"{action}complete-multipart-upload/"),
        ("PATCH", f"{action}abort-multipart-upload/"),
        ("OPTIONS", f"{api}cases/upload-sessions/"),
        ("POST", f"{api}cases/upload-sessions/"),
        ("GET", f"{api}cases/upload-sessions/<pk>/"),
        ("POST", f"{api}algorithms/jobs/"),
        ("GET", f"{api}algorithms/jobs/"),
        ("GET", f"{api}algorithms/jobs/<pk>/"),
        ("GET", f"{api}cases/images/<pk>/"),
    }
