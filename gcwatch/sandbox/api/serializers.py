"""Records as JSON, in the schema of the settings (platform 2, 4, 7, 8, 9, 12)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from gcwatch.sandbox.content.catalogue import Algorithm, Archive, Interface, ReaderStudy, Socket
from gcwatch.sandbox.content.names import clean_html
from gcwatch.sandbox.content.questions import Question
from gcwatch.sandbox.model import (
    Answer,
    ArchiveItem,
    Case,
    DisplaySet,
    Image,
    Job,
    PlatformState,
    Session,
    StoredFile,
    Upload,
    User,
    Value,
)

Json = dict[str, Any]

_PATIENT_FIELDS: Json = {
    "patient_id": "",
    "patient_name": "",
    "patient_birth_date": None,
    "patient_age": "",
    "patient_sex": "",
    "study_date": None,
    "study_instance_uid": "",
    "series_instance_uid": "",
    "study_description": "",
    "series_description": "",
}

STUDY_SWITCHES = (
    "is_educational",
    "instant_verification",
    "allow_answer_modification",
    "enable_autosaving",
    "allow_case_navigation",
    "allow_show_all_annotations",
)
"""Settings of a reader study that its editors switch on and off."""

_VIEW_FIELDS: Json = {"hanging_protocol": None, "optional_hanging_protocols": []}


@dataclass
class Serializer:
    """Turns records into JSON with absolute URLs.

    Attributes:
        state: For the settings.
        site: Origin of the platform, without a slash at the end.
        storage: Origin of the storage, without a slash at the end.
    """

    state: PlatformState
    site: str
    storage: str

    def url(self, path: str) -> str:
        """Absolute URL of an API path."""
        return f"{self.site}/api/v1/{path}"

    @property
    def _is_2026(self) -> bool:
        return self.state.settings.schema == "2026-07"

    def profile(self, user: User | None) -> Json:
        """The profile of a user; None is AnonymousUser."""
        return {
            "user": {"username": user.username if user else "AnonymousUser"},
            "mugshot": f"{self.site}/static/mugshot.png",
            "institution": "Sandbox",
            "department": "Sandbox",
            "location": "NL",
            "website": "",
        }

    def socket(self, socket: Socket) -> Json:
        """A socket."""
        return {
            "title": socket.title,
            "description": "",
            "slug": socket.slug,
            "kind": socket.kind,
            "pk": socket.pk,
            "default_value": None,
            "super_kind": socket.super_kind,
            "relative_path": socket.relative_path,
            "overlay_segments": [
                {"name": name, "visible": True, "voxel_value": value}
                for value, name in socket.segments
            ],
            "look_up_table": None,
        }

    def algorithm(self, algorithm: Algorithm) -> Json:
        """An algorithm with its interfaces."""
        settings = self.state.settings
        known = settings.average_duration
        return {
            "api_url": self.url(f"algorithms/{algorithm.pk}/"),
            "url": f"{self.site}/algorithms/{algorithm.slug}/",
            "description": f"{algorithm.title} (sandbox)",
            "pk": algorithm.pk,
            "title": algorithm.title,
            "logo": f"{self.storage}/grand-challenge-public/logos/{algorithm.pk}/logo.jpg",
            "slug": algorithm.slug,
            "average_duration": settings.job_seconds if known is None else known,
            "interfaces": [self._interface(each) for each in algorithm.interfaces],
        }

    def _interface(self, interface: Interface) -> Json:
        return {
            "inputs": [self.socket(each) for each in interface.inputs],
            "outputs": [self.socket(each) for each in interface.outputs],
        }

    def algorithm_image(self, algorithm: Algorithm) -> Json:
        """An algorithm's container image."""
        return {
            "pk": algorithm.image_pk,
            "url": f"{self.site}/algorithms/{algorithm.slug}/images/{algorithm.image_pk}/",
            "api_url": self.url(f"algorithms/images/{algorithm.image_pk}/"),
            "algorithm": self.url(f"algorithms/{algorithm.pk}/"),
            "created": format_time(0.0),
            "import_status": "Completed",
            "image": None,
        }

    def upload(self, upload: Upload) -> Json:
        """An upload."""
        return {
            "pk": upload.pk,
            "created": format_time(upload.created),
            "filename": upload.filename,
            "key": upload.key,
            "s3_upload_id": upload.s3_id,
            "status": upload.status,
            "api_url": self.upload_url(upload),
        }

    def upload_url(self, upload: Upload) -> str:
        """The URL that identifies an upload."""
        return self.url(f"uploads/{upload.pk}/")

    def parts(self, upload: Upload) -> list[Json]:
        """The stored parts of an upload, by part number."""
        return [
            {
                "ETag": f'"{part.etag}"',
                "PartNumber": number,
                "LastModified": format_time(part.modified, "seconds"),
                "Size": part.size,
            }
            for number, part in sorted(upload.parts.items())
        ]

    def session(self, session: Session) -> Json:
        """An upload session."""
        return {
            "pk": session.pk,
            "creator": session.creator.pk,
            "status": session.status,
            "error_message": session.error_message,
            "image_set": [self.image_url(image) for image in session.images],
            "api_url": self.url(f"cases/upload-sessions/{session.pk}/"),
            "user_uploads": [upload.pk for upload in session.uploads],
            "uploads": [self.upload_url(upload) for upload in session.uploads],
        }

    def job(self, job: Job) -> Json:
        """A job."""
        over = job.status in {"Executed", "Succeeded", "Failed"}
        return {
            "pk": job.pk,
            "url": f"{self.site}/algorithms/{job.algorithm.slug}/jobs/{job.pk}/",
            "api_url": self.url(f"algorithms/jobs/{job.pk}/"),
            "algorithm_image": self.url(f"algorithms/images/{job.algorithm.image_pk}/"),
            "inputs": self._values(job.inputs),
            "outputs": self._values(job.outputs),
            "status": job.status,
            **_VIEW_FIELDS,
            "view_content": {},
            "exec_duration": "P0DT00H22M17S" if over else None,
            "invoke_duration": "P0DT00H31M14S" if over else None,
            "algorithm": self.url(f"algorithms/{job.algorithm.pk}/"),
        }

    def created_job(self, job: Job) -> Json:
        """The answer to a job's POST: only the inputs that are attached already."""
        return {"pk": job.pk, "inputs": self._written_values(job.inputs), "status": job.status}

    def reader_study(self, study: ReaderStudy) -> Json:
        """A reader study; since 2026 without texts that are not safe HTML (platform 12.4)."""
        plain = {} if self._is_2026 else {"title": study.title, "help_text": ""}
        on = self.state.switches.get(study.slug, set())
        return {
            **plain,
            "api_url": self.url(f"reader-studies/{study.pk}/"),
            "url": f"{self.site}/reader-studies/{study.slug}/",
            "slug": study.slug,
            "logo": f"{self.storage}/grand-challenge-public/logos/{study.pk}/logo.jpg",
            "description": f"{study.title} (sandbox)",
            "help_text_safe": "",
            "pk": study.pk,
            "questions": [self.question(each) for each in self.questions_of(study)],
            "title_safe": clean_html(study.title),
            "has_ground_truth": self.has_ground_truth(study),
            **{name: name in on for name in STUDY_SWITCHES},
            "roll_over_answers_for_n_cases": 0,
            "end_of_study_text_safe": "",
        }

    def questions_of(self, study: ReaderStudy) -> list[Question]:
        """The questions of a reader study, in its order."""
        return [each for each in self.state.questions.values() if each.study == study.slug]

    def has_ground_truth(self, study: ReaderStudy) -> bool:
        """Whether a reader study has an answer that is ground truth."""
        answers = self.state.answers.values()
        return any(each.is_ground_truth and each.case.parent is study for each in answers)

    def question(self, question: Question) -> Json:
        """A question; since 2026 without texts that are not safe HTML (platform 12.4)."""
        (study,) = (
            each for each in self.state.catalogue.reader_studies if each.slug == question.study
        )
        plain = {
            "help_text": "",
            "question_text": question.text,
            "empty_answer_confirmation_label": "",
        }
        return {
            **({"algorithms": []} if self._is_2026 else plain),
            "answer_type": question.kind,
            "api_url": self.question_url(question),
            "form_direction": "Horizontal",
            "help_text_safe": "",
            "image_port": "",
            "default_annotation_color": "",
            "pk": question.pk,
            "question_text_safe": clean_html(question.text),
            "reader_study": self.url(f"reader-studies/{study.pk}/"),
            "required": question.required,
            "options": [
                {"id": number, "title": title, "default": False}
                for number, title in question.options.items()
            ],
            "interface": None,
            "overlay_segments": [
                {"name": name, "visible": True, "voxel_value": value}
                for value, name in question.segments
            ],
            "look_up_table": None,
            "widget": "",
            "answer_min_value": None,
            "answer_max_value": None,
            "answer_step_size": None,
            "answer_min_length": None,
            "answer_max_length": None,
            "answer_match_pattern": "",
            "empty_answer_confirmation": False,
            "empty_answer_confirmation_label_safe": "",
            "interactive_algorithms": [],
        }

    def question_url(self, question: Question) -> str:
        """The URL that identifies a question."""
        return self.url(f"reader-studies/questions/{question.pk}/")

    def answer(self, answer: Answer) -> Json:
        """An answer; since 2026 with its score (platform 14.3)."""
        return {
            "answer": answer.answer,
            "api_url": self.url(f"reader-studies/answers/{answer.pk}/"),
            "created": format_time(answer.created),
            "creator": answer.creator.username,
            "display_set": self.display_set_url(answer.case),
            "pk": answer.pk,
            "question": self.question_url(answer.question),
            "modified": format_time(answer.modified),
            "answer_image": self.image_url(answer.image) if answer.image else None,
            "last_edit_duration": format_duration(answer.last_edit),
            "total_edit_duration": format_duration(answer.total_edit),
            "is_ground_truth": answer.is_ground_truth,
            **({"score": answer.score} if self._is_2026 else {}),
        }

    def display_set_url(self, case: DisplaySet) -> str:
        """The URL that identifies a display set."""
        return self.url(f"reader-studies/display-sets/{case.pk}/")

    def archive(self, archive: Archive) -> Json:
        """An archive; its slug is only in its `url` (platform 2.2)."""
        return {
            "pk": archive.pk,
            "title": archive.title,
            "logo": f"{self.storage}/grand-challenge-public/logos/{archive.pk}/logo.jpg",
            "description": f"{archive.title} (sandbox)",
            "api_url": self.url(f"archives/{archive.pk}/"),
            "url": f"{self.site}/archives/{archive.slug}/",
        }

    def case(self, case: Case) -> Json:
        """A display set or an archive item."""
        return self.display_set(case) if isinstance(case, DisplaySet) else self.item(case)

    def display_set(self, case: DisplaySet) -> Json:
        """A display set; since 2026 reads have only the title as safe HTML (platform 5.7, 12.2)."""
        study = self.url(f"reader-studies/{case.parent.pk}/")
        values = self._values(case.values.values())
        fields = self._display_set(case, reader_study=study, values=values)
        if self._is_2026:
            del fields["title"]
        return fields

    def _display_set(self, case: DisplaySet, **fields: Any) -> Json:
        sets = self.state.display_sets.values()
        siblings = [each for each in sets if each.parent is case.parent]
        return {
            "pk": case.pk,
            "title": case.title,
            "title_safe": clean_html(case.title),
            **fields,
            "order": case.order,
            "api_url": self.display_set_url(case),
            **_VIEW_FIELDS,
            "view_content": {"main": ["generic-medical-image"]},
            "description": "",
            **({"descriptions_map_safe": {}} if self._is_2026 else {}),
            "index": sum(each.sort_key < case.sort_key for each in siblings),
        }

    def item(self, case: ArchiveItem) -> Json:
        """An archive item."""
        return self._item(case, self._values(case.values.values()))

    def _item(self, case: ArchiveItem, values: list[Json]) -> Json:
        return {
            "pk": case.pk,
            "title": case.title,
            "archive": self.url(f"archives/{case.parent.pk}/"),
            "values": values,
            **_VIEW_FIELDS,
            "view_content": {},
        }

    def changed_case(self, case: Case) -> Json:
        """The answer to a case's POST, PUT and PATCH: the values attached so far (platform 5.7)."""
        values = self._written_values(case.values.values())
        if isinstance(case, DisplaySet):
            return self._display_set(case, reader_study=case.parent.slug, values=values)
        return self._item(case, values)

    def _written_values(self, values: Iterable[Value]) -> list[Json]:
        """Values in the answer to a write: with the slug of their socket."""
        return [
            {**self._content(each), "interface": each.socket.slug, "image_name": None}
            for each in sorted(values, key=lambda each: each.socket.sort_key)
        ]

    def _values(self, values: Iterable[Value]) -> list[Json]:
        return [self.value(each) for each in sorted(values, key=lambda each: each.socket.sort_key)]

    def value(self, value: Value) -> Json:
        """A socket's value; since 2026 under two keys (platform 12.1)."""
        socket = self.socket(value.socket)
        named = {"socket": socket, "interface": socket} if self._is_2026 else {"interface": socket}
        return {**named, **self._content(value)}

    def _content(self, value: Value) -> Json:
        return {
            "value": value.value,
            "file": self._media_url(value.file) if value.file else None,
            "image": self.image_url(value.image) if value.image else None,
            "pk": value.pk,
        }

    def image_url(self, image: Image) -> str:
        """The URL that identifies an image."""
        return self.url(f"cases/images/{image.pk}/")

    def _media_url(self, stored: StoredFile) -> str:
        return f"{self.site}/media/{stored.key}"

    def image(self, image: Image) -> Json:
        """An image with its files."""
        width, height, depth = (*image.size, None, None, None)[:3]
        shape = list(image.size[::-1])
        spacing = (*image.spacing, None, None, None)[:3]
        return {
            "pk": image.pk,
            "name": image.name,
            "files": [self._file(image, image.file)] if image.file else [],
            "dicom_image_set": {"image_set_id": image.image_set_id} if image.instances else None,
            "width": width,
            "height": height,
            "depth": depth,
            "color_space": image.color_space,
            "modality": None,
            "eye_choice": "NA",
            "stereoscopic_choice": None,
            "field_of_view": None,
            "shape_without_color": shape,
            "shape": [*shape, image.channels] if image.channels > 1 else shape,
            "voxel_width_mm": spacing[0],
            "voxel_height_mm": spacing[1],
            "voxel_depth_mm": spacing[2],
            "api_url": self.image_url(image),
            **({} if self._is_2026 else _PATIENT_FIELDS),
            "window_center": None,
            "window_width": None,
            "segments": None if image.segments is None else list(image.segments),
        }

    def _file(self, image: Image, stored: StoredFile) -> Json:
        return {
            "pk": image.file_pk,
            "image": image.pk,
            "file": self._media_url(stored),
            "image_type": image.kind,
        }


def format_time(seconds: float, precision: str = "microseconds") -> str:
    """Format a time as the API does, in UTC."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec=precision)
    return text.replace("+00:00", "Z")


def format_duration(seconds: float | None) -> str | None:
    """Format a duration as the API does: hours, minutes and seconds."""
    if seconds is None:
        return None
    hours, rest = f"{timedelta(seconds=seconds)}".split(":", 1)
    return f"{hours.zfill(2)}:{rest}"
