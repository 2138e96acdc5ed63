"""The sandbox answers about reader studies as the running platform was recorded to answer.

Recording 21 is replayed: questions of every kind, answers of two readers, masks, ground truth,
edits, and who sees what. Besides what support/replay.py compares, lists must hold as many answers
as recorded, and each answer what was recorded.

Left out are answers as CSV, lists of unanswered display sets, and rows of lists but the first.
"""

import json
import re

import pytest
from support.checkout import TESTS
from support.replay import UUID, Replay, body_of
from support.sandbox_user import SandboxUser, mha

from gcwatch.sandbox import Archive, Catalogue, ReaderStudy, Sandbox, Settings, Socket

RECORDING = TESTS / "recordings" / "21-reader-study-answers.json"

IMAGE = Socket(1, "Generic Medical Image", "generic-medical-image", "Image", "Image", "")
OVERLAY = Socket(2, "Generic Overlay", "generic-overlay", "Heat Map", "Image", "images")
LIMIT = Socket(3, "Threshold", "threshold", "Float", "Value", "threshold.json")
STUDY = ReaderStudy("answers-study", frozenset({"lab"}), frozenset({"reader", "reader2"}))
IMAGES = Archive("images", editors=frozenset({"lab"}))
RECORDED = Catalogue((IMAGE, OVERLAY, LIMIT), (), (STUDY,), (IMAGES,))
PICTURE = "f7c77a54-800f-40fd-a256-b3b76e7662be"
TRUTHS = {
    "20ac6543-8443-4896-b6c1-21bc71f54e0d": (3, "three, see the report"),
    "f4a19af7-cd7e-4fcb-aa5c-3eb8a9f065e3": (3, ""),
    "7dc075ff-54fd-4648-b38d-07cb1f8de98d": ([4, 5], ""),
}
FIRST_CASE = "f02714eb-f234-49fd-9ad3-4484542fd9bf"


class StudyReplay(Replay):
    """Plays the recording with the users, the questions and the image that it had."""

    def prepare(self):
        for name in ("lab", "reader", "reader2", "stranger", "limited"):
            self.tokens[f"<token:{name}>"] = self.sandbox.add_user(name)
        self.sandbox.switch_study(STUDY.slug, is_educational=True, allow_answer_modification=True)
        (study,) = next(each for each in self.exchanges if each["n"] == 6)["response"]["results"]
        self.names[study["pk"]] = STUDY.pk
        for each in study["questions"]:
            self.names[each["pk"]] = self.sandbox.add_question(
                STUDY.slug,
                each["question_text"],
                each["answer_type"],
                required=each["required"],
                options=[option["title"] for option in each["options"]],
                segments={s["voxel_value"]: s["name"] for s in each["overlay_segments"]},
            )
        item = self.sandbox.add_item("images", "seen before", {IMAGE.slug: mha(1, 2)})
        shown = self.user.call("GET", f"archives/items/{item}/", headers=self.bearer("lab")).json()
        self.names[PICTURE] = shown["values"][0]["image"].split("/")[-2]

    def bearer(self, name):
        return {"Authorization": f"Bearer {self.tokens[f'<token:{name}>']}"}

    def arrange(self, exchange):
        step = exchange["step"]
        editable = step not in {
            "edit when allow_answer_modification is off",
            "ground truth when the study is not educational",
        }
        self.sandbox.switch_study(
            STUDY.slug, is_educational=editable, allow_answer_modification=editable
        )
        if "made by hand beside" in step and not self.sandbox.platform_state.switches.get("told"):
            self.sandbox.platform_state.switches["told"] = {"once"}
            for question, (answer, why) in TRUTHS.items():
                self.sandbox.add_answer(
                    self.names[FIRST_CASE],
                    self.names[question],
                    answer,
                    username="lab",
                    is_ground_truth=True,
                    explanation=why,
                )
        if step.startswith("a reader who was taken out"):
            self.sandbox.revoke(STUDY.slug, "reader2")
        self.upload_mask(exchange)

    def upload_mask(self, exchange):
        """The recording has no uploads: make those that a session names."""
        if exchange["method"] != "POST" or not exchange["url"].endswith("/upload-sessions/"):
            return
        (link,) = exchange["request"]["uploads"]
        recorded = re.findall(UUID, link)[0]
        if recorded not in self.names:
            token = exchange["sent"]["authorization"].removeprefix("Bearer ")
            voxels = (0, 2) if "bad voxel value" in exchange["step"] else (0, 1)
            content = mha(*voxels, element="MET_UCHAR", code="B")
            with SandboxUser(self.sandbox, self.tokens[token]) as owner:
                self.names[recorded] = owner.upload(content, "mask.mha").split("/")[-2]

    def compare(self, exchange, reply):
        recorded, told = exchange["response"], body_of(reply)
        if "/ground-truth/" in exchange["url"] and exchange["status"] == 200:
            assert json.loads(self.live(json.dumps(recorded))) == told
            return
        super().compare(exchange, reply)
        if isinstance(recorded, dict) and "count" in recorded:
            assert recorded["count"] == told["count"], exchange["n"]
            recorded, told = recorded["results"][:1], told["results"][:1]
        pair = (each if isinstance(each, list) else [each] for each in (recorded, told))
        for one, other in zip(*pair, strict=False):
            if isinstance(one, dict) and "is_ground_truth" in one:
                self.compare_answers(one, other, exchange)

    def compare_answers(self, recorded, told, exchange):
        live = json.loads(self.live(json.dumps(recorded)))
        names = {"answer", "creator", "is_ground_truth", "last_edit_duration"}
        for name in (*names, "total_edit_duration"):
            assert live[name] == told[name], (exchange["n"], name)
        assert (live["answer_image"] is None) == (told["answer_image"] is None), exchange["n"]
        before = told["modified"] < told["created"]
        assert before == (recorded["modified"] < recorded["created"]), exchange["n"]


@pytest.fixture
def replay(tmp_path):
    settings = Settings(schema="2025-11")
    with (
        Sandbox(tmp_path / "sandbox", settings, catalogue=RECORDED) as sandbox,
        SandboxUser(sandbox) as user,
    ):
        yield StudyReplay(sandbox, user, json.loads(RECORDING.read_text()))


def test_recorded_answers_of_readers_are_told_alike(replay):
    """Call by call: status, headers, keys, types, error bodies, counts, and what was answered."""
    replay.prepare()
    replay.run()
