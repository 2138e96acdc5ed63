"""Somebody who uses a sandbox over plain HTTP, without the rest of gcwatch."""

import hashlib
import io
import struct
import zipfile
from pathlib import Path

import pydicom
import requests

PATIENTS = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
COPY, GENERIC = "copy-image", "generic-medical-image"


def mha(*voxels, element="MET_SHORT", code="h"):
    """A MetaImage file of one row of voxels."""
    head = (
        f"ObjectType = Image\nNDims = 3\nDimSize = {len(voxels)} 1 1\n"
        f"ElementSpacing = 1 2 3\nElementType = {element}\nElementDataFile = LOCAL\n"
    )
    return head.encode() + struct.pack(f"<{len(voxels)}{code}", *voxels)


def zipped(files):
    """A zip of names and contents."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def patient(name):
    """The files of one of pydicom's patients."""
    return {path.name: path.read_bytes() for path in sorted((PATIENTS / name).iterdir())}


def md5(content):
    return f'"{hashlib.md5(content).hexdigest()}"'


class SandboxUser(requests.Session):
    """Calls a sandbox as one of its users."""

    def __init__(self, sandbox, token=None):
        super().__init__()
        self.trust_env = False
        self.verify = str(sandbox.ca) if sandbox.ca else True
        self.root = sandbox.url
        self.token = token or sandbox.token

    def call(self, method, path, data=None, **how):
        how.setdefault("headers", {"Authorization": f"Bearer {self.token}"})
        url = path if path.startswith("http") else self.root + path
        return self.request(method, url, json=data, allow_redirects=False, timeout=60, **how)

    def tell(self, path, **how):
        """The JSON of a GET."""
        reply = self.call("GET", path, **how)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def make(self, path, data):
        """The JSON of a POST that creates."""
        reply = self.call("POST", path, data)
        assert reply.status_code == 201, reply.text
        return reply.json()

    def begin(self, name="x.mha"):
        upload = self.make("uploads/", {"filename": name})
        upload["actions"] = f"uploads/{upload['pk']}/{upload['s3_upload_id']}"
        return upload

    def presign(self, upload, *numbers):
        path = f"{upload['actions']}/generate-presigned-urls/"
        return self.call("PATCH", path, {"part_numbers": list(numbers)})

    def url_of(self, upload, number=1):
        return self.presign(upload, number).json()["presigned_urls"][str(number)]

    def complete(self, upload, *parts):
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in parts]
        path = f"{upload['actions']}/complete-multipart-upload/"
        return self.call("PATCH", path, {"parts": parts})

    def upload(self, content, name="x.mha"):
        """Upload in one part; the upload's URL."""
        upload = self.begin(name)
        reply = self.put(self.url_of(upload), data=content, timeout=60)
        assert reply.status_code == 200, reply.text
        reply = self.complete(upload, (1, reply.headers["ETag"]))
        assert reply.status_code == 200, reply.text
        return upload["api_url"]

    def session(self, *uploads):
        return self.make("cases/upload-sessions/", {"uploads": uploads})

    def algorithm(self, slug=COPY):
        return self.tell(f"algorithms/?slug={slug}")["results"][0]["api_url"]

    def post_job(self, slug=COPY, **inputs):
        """POST a job; each input is a socket (underscores for hyphens) and its source."""
        given = [{"interface": key.replace("_", "-"), **source} for key, source in inputs.items()]
        return self.call(
            "POST", "algorithms/jobs/", {"algorithm": self.algorithm(slug), "inputs": given}
        )

    def start(self, slug=COPY, **inputs):
        reply = self.post_job(slug, **inputs)
        assert reply.status_code == 201, reply.text
        return reply.json()["pk"]

    def job(self, pk):
        return self.tell(f"algorithms/jobs/{pk}/")

    def copy(self, content, name="x.mha"):
        """Import one upload through a session and copy it; session and job as they end."""
        session = self.session(self.upload(content, name))
        pk = self.start(generic_medical_image={"upload_session": session["api_url"]})
        return self.tell(session["api_url"]), self.job(pk)

    def download(self, media, **how):
        """The reply of the storage to which a media URL redirects."""
        reply = self.call("GET", media)
        assert reply.status_code == 302, reply.text
        return self.get(reply.headers["Location"], timeout=60, **how)
