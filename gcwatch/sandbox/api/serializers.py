"""Records as JSON, in the schema of the settings (platform 2, 4, 7, 8, 9, 12)."""

from collections.abc import Iterable
from typing import Any

from gcwatch.sandbox.api.study_serializer import (
    STUDY_SWITCHES,
    Json,
    StudySerializer,
    format_time,
)
from gcwatch.sandbox.content.catalogue import Algorithm, Archive, Interface, ReaderStudy, Socket
from gcwatch.sandbox.content.names import clean_html
from gcwatch.sandbox.model import (
    ArchiveItem,
    Case,
    DisplaySet,
    Image,
    Job,
    Session,
    StoredFile,
    Upload,
    User,
    Value,
)

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

_VIEW_FIELDS: Json = {"hanging_protocol": None, "optional_hanging_protocols": []}


class Serializer(StudySerializer):
    """Turns records into JSON with absolute URLs."""

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
        plain = {} if self.is_2026 else {"title": study.title, "help_text": ""}
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
        if self.is_2026:
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
            **({"descriptions_map_safe": {}} if self.is_2026 else {}),
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
        named = {"socket": socket, "interface": socket} if self.is_2026 else {"interface": socket}
        return {**named, **self._content(value)}

    def _content(self, value: Value) -> Json:
        return {
            "value": value.value,
            "file": self._media_url(value.file) if value.file else None,
            "image": self.image_url(value.image) if value.image else None,
            "pk": value.pk,
        }

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
            **({} if self.is_2026 else _PATIENT_FIELDS),
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
