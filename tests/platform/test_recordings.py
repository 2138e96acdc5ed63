"""The sandbox, as of November 2025, answers as the running platform was recorded to answer.

Each recording is replayed call by call. What the platform named (pks, URLs, ETags) is learned
from the answers and put into the requests that follow; a poll advances the sandbox's clock until
the recorded status is there. Held equal are the status of each answer, the headers that mean
something, the keys and JSON types of what it holds, and error bodies to the letter.

Left out of the recordings are what the recorder cut away, what another storage or proxy than the
real site's said, and the making of an answer in a reader study, for which `add_answer` stands.
"""

import json
import random
import re
from urllib.parse import urlsplit

import pytest
from support.checkout import TESTS
from support.sandbox_user import SandboxUser, mha, patient, zipped

from gcwatch.sandbox import (
    Algorithm,
    Archive,
    Catalogue,
    Interface,
    ReaderStudy,
    Sandbox,
    Settings,
    Socket,
)

FOLDER = TESTS / "recordings"
RECORDINGS = sorted(path.stem for path in FOLDER.glob("*.json"))
MIB = 1024**2
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

IMAGE = Socket(1, "Generic Medical Image", "generic-medical-image", "Image", "Image", "")
RESULTS = Socket(3, "Results JSON File", "results-json-file", "Anything", "Value", "results.json")
CT = Socket(8, "Chest CT", "chest-ct", "Image", "Image", "images/chest-ct")
AGE = Socket(10, "Age in years", "age-in-years", "Integer", "Value", "age-in-years.json")
INFO = Socket(12, "Clinical info", "clinical-info", "Anything", "File", "clinical-info.json")
PDF = Socket(14, "Report PDF", "report-pdf", "PDF file", "File", "report.pdf")
SHAPED = Socket(
    15,
    "JSON with a schema",
    "json-with-a-schema",
    "Anything",
    "Value",
    "shaped.json",
    schema={"type": "object", "required": ["a"]},
)
ALICE, NOBODY = frozenset({"alice"}), frozenset()
RECORDED = Catalogue(
    sockets=(IMAGE, RESULTS, CT, AGE, INFO, PDF, SHAPED),
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
            "algo-public-no-access",
            (Interface((IMAGE,), (RESULTS,)),),
            viewers=frozenset({"alice", "bob"}),
            executors=NOBODY,
        ),
        Algorithm("importer", (Interface((IMAGE,), (RESULTS,)),)),
    ),
    reader_studies=(
        ReaderStudy("rs-alice-edits"),
        ReaderStudy("rs-alice-reads", editors=NOBODY, readers=ALICE),
    ),
    archives=(
        Archive("archive-alice-edits"),
        Archive("archive-alice-uploads", editors=NOBODY, uploaders=ALICE),
        Archive("archive-alice-views", editors=NOBODY, users=ALICE),
        Archive("archive-many"),
    ),
)

# What the recordings call the studies and archives.
OWNERS = {
    "c1fe94e3-c967-4f17-9c91-a94b3126d5d0": "rs-alice-edits",
    "938b40f6-372b-46e2-8f2a-8a105ed7c6a9": "rs-alice-reads",
    "22d87b57-4acd-49f4-8704-6a2372a48a71": "archive-alice-edits",
    "35b905ea-e339-469e-88d3-cc8b2a1c4830": "archive-alice-uploads",
    "cd4581b0-6aab-4267-921e-d6ec8b71abcd": "archive-alice-views",
    "6d3ede7a-c544-4e68-baf7-a5a06a4842f6": "archive-many",
}
# The cases that were there: where, and what the recordings call them and their image.
SETS = {
    "3610514b-e832-4256-9d4e-ec40859844ea": "rs-alice-edits",
    "56253947-779d-47c4-bc96-d2ac1d8ac20b": "rs-alice-reads",
}
ITEMS = {
    "84f40fbd-d6a4-491a-8208-bc77df914f5d": "archive-alice-edits",
    "558990f7-8cd3-4636-9841-ba5fb1a567c3": "archive-alice-views",
    "ffb1c8e1-b190-4a90-93c1-cf542f174333": "archive-alice-uploads",
}
PICTURE = "56046a22-bb4f-4477-aec7-6482c4eb564f"

GARBAGE = bytes(range(256)) * 20
FILES = {
    "garbage.mha": GARBAGE,
    "trunc.mha": mha(*range(100))[:-50],
    "k-0001.zip": zipped(patient("98892001/CT5N")),
    "k-0002.zip": zipped(patient("98892001/CT5N")),
    "k-0003.zip": zipped(patient("98892001/CT5N")),
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
        self.fill()
        self.sandbox.configure(job_seconds=1000.0, import_seconds=1000.0)

    def fill(self):
        """Make the studies' and archives' cases, an image in each."""
        catalogue = self.sandbox.platform_state.catalogue
        pks = {each.slug: each.pk for each in (*catalogue.reader_studies, *catalogue.archives)}
        self.names |= {recorded: pks[slug] for recorded, slug in OWNERS.items()}
        for recorded, slug in SETS.items():
            values = {"generic-medical-image": mha(1, 2)}
            self.names[recorded] = self.sandbox.add_display_set(slug, "fixture case", values)
        for recorded, slug in ITEMS.items():
            values = {"generic-medical-image": (f"{slug}-0.mha", mha(*range(999)))}
            if slug == "archive-alice-edits":
                values |= {"age-in-years": 40, "clinical-info": b"{}"}
            self.names[recorded] = self.sandbox.add_item(slug, "item 0", values)
        for number in (1, 2, 3):
            image = {"generic-medical-image": (f"{number}.mha", mha(*range(999)))}
            self.sandbox.add_item("archive-alice-uploads", f"item {number}", image)
        if "archive-many" in {OWNERS.get(pk) for pk in self.asked_archives()}:
            for number in range(130):
                image = {"generic-medical-image": mha(number)}
                self.sandbox.add_item("archive-many", f"item {number}", image)
        item = self.user.tell(f"archives/items/{self.names[next(iter(ITEMS))]}/")
        (self.names[PICTURE],) = (
            each["image"].split("/")[-2] for each in item["values"] if each["image"]
        )

    def asked_archives(self):
        """The archives whose items the recording lists."""
        asked = re.compile(rf"/archives/items/\?archive=({UUID})")
        return {pk for each in self.exchanges for pk in asked.findall(each["url"])}

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
        step = exchange.get("step", "")
        if step.startswith("after the task"):
            self.sandbox.expire_uploads()
        if step == "answered display set":
            self.sandbox.add_answer(re.findall(UUID, self.live_url(exchange))[0])

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
    return reply.json() if kind == "application/json" else reply.text


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
        return [
            difference
            for key in recorded
            if key not in {"next", "previous", "value", "average_duration", "_note"}
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
        ("GET", f"{api}cases/images/"),
        ("GET", f"{api}cases/images/<pk>/"),
        ("GET", f"{api}archives/"),
        ("GET", f"{api}archives/<pk>/"),
        ("GET", f"{api}archives/items/"),
        ("POST", f"{api}archives/items/"),
        ("GET", f"{api}archives/items/<pk>/"),
        ("PATCH", f"{api}archives/items/<pk>/"),
        ("GET", f"{api}reader-studies/"),
        ("GET", f"{api}reader-studies/<pk>/"),
        ("GET", f"{api}reader-studies/display-sets/"),
        ("POST", f"{api}reader-studies/display-sets/"),
        ("GET", f"{api}reader-studies/display-sets/<pk>/"),
        ("PATCH", f"{api}reader-studies/display-sets/<pk>/"),
        ("PUT", f"{api}reader-studies/display-sets/<pk>/"),
    }
