"""The sandbox, as of November 2025, answers as the running platform was recorded to answer.

Each recording is replayed call by call (support/replay.py); a poll advances the sandbox's clock
until the recorded status is there.

Left out of the recordings are what the recorder cut away, what another storage or proxy than the
real site's said, and in recording 11 the making of an answer, for which `add_answer` stands.
"""

import json
import re
from urllib.parse import urlsplit

import pytest
from support.checkout import TESTS
from support.replay import UUID, Replay
from support.sandbox_user import SandboxUser, mha

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
from gcwatch.sandbox.model import User

STRANGER = User(4, "carol", "c" * 64)
FOLDER = TESTS / "recordings"
RECORDINGS = sorted(path.stem for path in FOLDER.glob("*.json"))
REPLAYED = [name for name in RECORDINGS if not name.startswith("21")]
"""The others are replayed by test_recorded_answers.py."""
MIB = 1024**2

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
LIMIT = Socket(16, "Threshold", "threshold", "Float", "Value", "threshold.json")
TABLE = Socket(17, "Volume Table", "volume-table", "CSV file", "File", "table.csv")
ALICE, NOBODY = frozenset({"alice"}), frozenset()
BOTH = frozenset({"alice", "bob"})
RECORDED = Catalogue(
    sockets=(IMAGE, RESULTS, CT, AGE, INFO, PDF, SHAPED, LIMIT, TABLE),
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
            viewers=BOTH,
            executors=NOBODY,
        ),
        Algorithm(
            "two-inputs",
            (Interface((IMAGE, LIMIT), (RESULTS, TABLE)),),
            program="measure",
            viewers=BOTH,
            executors=BOTH,
        ),
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
        Archive("archive-both", users=BOTH),
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


class LabReplay(Replay):
    """Plays one recording of uploads, jobs, display sets and items."""

    def prepare(self):
        """Make what was there before the recording began."""
        self.sandbox.platform_state.users.append(STRANGER)
        self.tokens |= {
            "<token:lab>": self.sandbox.token,
            "<token:limited>": self.sandbox.bob_token,
            "<token:admin1>": STRANGER.token,
            "<token:stranger>": STRANGER.token,
        }
        slugs = {each.slug: each.pk for each in RECORDED.algorithms}
        for recorded, slug in self.recording["algorithms"].items():
            self.names[recorded] = slugs[slug]
        for number, recorded in enumerate(self.recording["images"]):
            self.names[recorded] = self.put_image(mha(*range(number, number + 200)))
        self.fill()
        self.sandbox.configure(job_seconds=1000.0, import_seconds=1000.0)

    def put_image(self, content):
        """Put an image on the platform, as an algorithm's input or where others see it, too."""
        if self.recording["flow"].startswith("15"):
            source = {"user_uploads": [self.user.upload(content)]}
            held = self.user.job(self.user.start("algo-image", generic_medical_image=source))
            values = held["inputs"]
        else:
            pk = self.sandbox.add_item("archive-both", "", {IMAGE.slug: content})
            values = self.user.tell(f"archives/items/{pk}/")["values"]
        return values[0]["image"].split("/")[-2]

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


@pytest.mark.parametrize("name", REPLAYED)
def test_recorded_exchanges_are_answered_alike(tmp_path, name):
    """Call by call: status, headers, keys, types and error bodies as recorded."""
    recording = json.loads((FOLDER / f"{name}.json").read_text())
    settings = Settings(schema="2025-11")
    with (
        Sandbox(tmp_path / "sandbox", settings, catalogue=RECORDED) as sandbox,
        SandboxUser(sandbox) as user,
    ):
        replay = LabReplay(sandbox, user, recording)
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
