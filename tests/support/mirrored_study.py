"""An installation with a mirror of a reader study: display sets with one reader's answers.

It has the methods of `Mirrored`, so that whatever is true of mirrors is tested of both.
"""

import csv
import io
import json

from gcwatch.core.tables.table_cells import text_cell
from gcwatch.sandbox import seeds
from support.builders import sha256
from support.mirrored import Mirrored

STUDY, READER = "lung-study", "anna"
TABLES = ["answers.csv", "questions.json"]
POINT = {"type": "Point", "version": {"major": 1, "minor": 0}}


class MirroredStudy(Mirrored):
    """A mirror of a study whose questions ask for a mask, a point and a remark."""

    images = f"{READER}/Lung"

    def __init__(self, folder, sandbox, *, routes="", **mirror):
        keys = {"archive": None, "reader_study": STUDY, **mirror}
        super().__init__(folder, sandbox, routes=routes, **keys)
        self.study = keys["reader_study"]
        known = {each.text: pk for pk, each in sandbox.platform_state.questions.items()}
        if READER not in {each.username for each in sandbox.platform_state.users}:
            sandbox.add_user(READER)
        kinds = {"Lung": "Mask", "Where": "Point", "Remark": "Text"}
        self.questions = {
            text: known.get(text) or sandbox.add_question(self.study, text, kind)
            for text, kind in kinds.items()
        }

    # --- the study -------------------------------------------------------------------------------

    def add(self, title, values=None, /, **more):
        """Add a display set with an answer for each value: an image is a mask, a number a point."""
        item = self.sandbox.add_display_set(self.study, title)
        for value in {**(values or {}), **more}.values():
            self.answer(item, value)
        return item

    def answer(self, item, value, **how):
        """Add the reader's answer that a value stands for; return its pk."""
        text, answer, mask = _answer_of(value)
        how = {"username": READER, "mask": mask, **how}
        return self.sandbox.add_answer(item, self.questions[text], answer, **how)

    def change(self, item, **values):
        """Give the display set's answers other values; the study lets answers change."""
        self.sandbox.switch_study(self.study, allow_answer_modification=True)
        state = self.sandbox.platform_state
        with state.lock:
            for value in values.values():
                text, answer, mask = _answer_of(value)
                (found,) = (
                    each for each in state.display_sets[item].answers if each.question.text == text
                )
                found.answer, found.modified = answer, state.now()
                if mask is not None:
                    seeds.attach_mask(state, found, mask)

    def take_out(self, item):
        """Delete a display set and its answers; return what puts them back."""
        state = self.sandbox.platform_state
        taken = state.display_sets.pop(item)
        for answer in taken.answers:
            del state.answers[answer.pk]

        def put_back():
            state.display_sets[item] = taken
            state.answers.update({answer.pk: answer for answer in taken.answers})

        return put_back

    def remove(self, title):
        for pk, each in [*self.sandbox.platform_state.display_sets.items()]:
            if each.title == title:
                self.take_out(pk)

    def rename(self, item, title):
        self.sandbox.platform_state.display_sets[item].title = title

    def values(self):
        """What the study holds in files: by display set, where each is and its SHA-256."""
        return {
            pk: {f"{a.creator.username}/{a.question.text}": _digest(a) for a in case.answers}
            for pk, case in self.sandbox.platform_state.display_sets.items()
            if case.parent.slug == self.study
        }

    # --- what came of it -------------------------------------------------------------------------

    def names(self):
        """The folders that people see in the outbox."""
        return [name for name in super().names() if name not in TABLES]

    def print(self):
        return {path: seen for path, seen in super().print().items() if str(path) not in TABLES}

    def rows(self):
        """The rows of answers.csv, by the pk of the answer."""
        text = (self.outbox / "answers.csv").read_text("utf-8-sig")
        return {row["answer_pk"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}

    def check_nothing_half_done(self):
        super().check_nothing_half_done()
        if (self.outbox / "answers.csv").exists():
            assert all(None not in row.values() for row in self.rows().values()), "half a table"

    def check_complete(self):
        held = super().check_complete()
        answers = self.sandbox.platform_state.answers
        rows = self.rows()
        assert rows.keys() == answers.keys()
        for pk, row in rows.items():
            expected = (
                json.loads((self.outbox / row["file"]).read_bytes())
                if (row["file"].endswith(".json"))
                else row["answer"]
            )
            if answers[pk].image is None:
                assert expected == answers[pk].answer
            else:
                assert (self.outbox / row["file"]).stat().st_size > 0
            assert row["display_set"] == text_cell(answers[pk].case.title)
        return held

    def _held(self, folder, receipt):
        return {
            output["socket"]: json.loads((folder / output["files"][0]["path"]).read_bytes())
            if output["carrier"] == "value"
            else output["files"][0]["sha256"]
            for output in receipt["outputs"]
        }


def _answer_of(value):
    """The question that a value answers, the answer, and the mask."""
    if isinstance(value, float):
        return "Where", {**POINT, "point": [value, 0, 0]}, None
    content = value[1] if isinstance(value, tuple) else value
    if content.startswith(b"{"):
        return "Where", {**POINT, "point": [sha256(content)[0].encode()[0], 1, 1]}, None
    return "Lung", None, value


def _digest(answer):
    return answer.image.file.sha256 if answer.image else answer.answer
