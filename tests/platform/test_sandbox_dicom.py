"""DICOM Image Sets in the sandbox: what is imported, what is rejected, and how it is fetched."""

import io

import gcapi
import pydicom
import pytest
import requests
from support.sandbox_user import SandboxUser, mha, patient, zipped

from gcwatch.sandbox import Sandbox

SOCKET = "dicom-ct"
NEEDED = "either user_uploads with image_name, or image are required for interface kind DCMIS"


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


def uploaded(user, files, suffix=""):
    return [user.upload(content, f"{number}{suffix}") for number, content in enumerate(files)]


def image_set(user, files, name="case-1"):
    return {"image_name": name, "user_uploads": uploaded(user, files)}


def start(user, source):
    return user.start("dicom-in", dicom_ct=source)


def patched_case(user, path, source):
    """The values of a new case after a PATCH, which itself is accepted."""
    if path == "archives/items/":
        (found,) = user.tell("archives/?slug=ct-archive")["results"]
        owner = {"archive": found["api_url"]}
    else:
        owner = {"reader_study": "lung-study"}
    pk = user.make(path, owner)["pk"]
    reply = user.call("PATCH", f"{path}{pk}/", {"values": [{"interface": SOCKET, **source}]})
    assert reply.status_code == 200, reply.text
    return user.tell(f"{path}{pk}/")["values"]


def fetched(call):
    """Perform a signed request as it is given, with no token."""
    return requests.request(**call, timeout=60)


def instances(user, image):
    return user.tell(f"{image}dicom/instances/")


@pytest.mark.parametrize("name", ["77654033/CT2", "98892001/CT5N", "98892003/MR700"])
def test_real_patient_comes_back_byte_for_byte(alice, name):
    """Every file of a real series is one instance, fetched as it was sent."""
    files = list(patient(name).values())
    job = alice.job(start(alice, image_set(alice, files)))
    assert job["status"] == "Succeeded"
    found = instances(alice, job["inputs"][0]["image"])
    assert sorted(fetched(each["get_instance"]).content for each in found["instances"]) == sorted(
        files
    )
    sent = {pydicom.dcmread(io.BytesIO(each)).SOPInstanceUID for each in files}
    assert {each["sop_instance_uid"] for each in found["instances"]} == sent


def test_image_of_a_set_has_a_name_and_no_files(alice):
    """The image is named as asked, and tells of its set instead of files and voxels."""
    job = alice.job(start(alice, image_set(alice, patient("98892001/CT2N").values(), "my case")))
    image = alice.tell(job["inputs"][0]["image"])
    assert (image["name"], image["files"], image["shape"]) == ("my case", [], [])
    expected = {"image_set_id": instances(alice, image["api_url"])["image_set_id"]}
    assert image["dicom_image_set"] == expected
    assert [row["pk"] for row in alice.tell("cases/images/?name=my case")["results"]] == [
        image["pk"]
    ]


@pytest.mark.parametrize("path", ["archives/items/", "reader-studies/display-sets/"])
def test_case_takes_an_image_set(alice, path):
    """A display set and an archive item are given an image set by PATCH, as a job is by POST."""
    source = image_set(alice, patient("98892001/CT5N").values())
    (value,) = patched_case(alice, path, source)
    assert len(instances(alice, value["image"])["instances"]) == 5
    assert alice.call("GET", source["user_uploads"][0]).status_code == 404


@pytest.mark.parametrize("path", ["archives/items/", "reader-studies/display-sets/"])
def test_case_stays_without_a_rejected_set(alice, path):
    """A PATCH is accepted, its uploads are used up, and the value never comes."""
    source = image_set(alice, [*patient("98892001/CT2N").values(), b"no DICOM"])
    assert patched_case(alice, path, source) == []
    assert {alice.call("GET", each).status_code for each in source["user_uploads"]} == {404}


def changed(content, **values):
    dataset = pydicom.dcmread(io.BytesIO(content))
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def one_other(**values):
    first, *rest = patient("98892001/CT5N").values()
    return [changed(first, **values), *rest]


@pytest.mark.parametrize(
    "files",
    [
        *(
            one_other(**{keyword: value})
            for keyword, value in {
                "StudyInstanceUID": "1.2.3",
                "SeriesInstanceUID": "1.2.3",
                "PatientID": "x",
                "StudyID": "x",
                "StudyDate": "20200102",
                "AccessionNumber": "x",
                "SeriesNumber": 77,
            }.items()
        ),
        list(patient("98892003/MR1").values()),
        list(patient("77654033/CR1").values()),
        [zipped(patient("98892001/CT2N"))],
        [mha(1, 2)],
        [b""],
        list(patient("98892001/CT2N").values()) * 2,
    ],
    ids=[
        "study",
        "series",
        "patient",
        "study id",
        "date",
        "accession",
        "series number",
        "real mixed series",
        "unsupported class",
        "zip",
        "metaimage",
        "empty",
        "twice",
    ],
)
def test_job_of_a_rejected_set_hangs(sandbox, alice, files):
    """What is no single series of supported DICOM files leaves its job validating for ever."""
    source = image_set(alice, files)
    pk = start(alice, source)
    sandbox.advance(7 * 86_400)
    assert (alice.job(pk)["status"], alice.job(pk)["inputs"]) == ("Validating inputs", [])
    assert {alice.call("GET", each).status_code for each in source["user_uploads"]} == {404}
    assert alice.tell("cases/images/")["count"] == 0
    assert alice.tell("cases/upload-sessions/")["count"] == 0


def test_open_upload_is_rejected(alice):
    """An upload that is not complete is accepted in a set, and rejected with it."""
    source = {"image_name": "p", "user_uploads": [alice.begin()["api_url"]]}
    assert alice.job(start(alice, source))["status"] == "Validating inputs"


def test_set_is_not_seen_before_it_is_imported(sandbox, alice):
    """Until the import is over neither the image nor the job's input shows."""
    sandbox.configure(import_seconds=1000)
    source = image_set(alice, patient("98892001/CT2N").values(), "late")
    pk = start(alice, source)
    sandbox.advance(900)
    assert alice.tell("cases/images/?name=late")["count"] == 0
    assert alice.tell(source["user_uploads"][0])["status"] == "Completed"
    sandbox.advance(101)
    assert alice.tell("cases/images/?name=late")["count"] == 1
    assert alice.job(pk)["status"] == "Succeeded"


def test_name_that_is_too_long_is_accepted_and_dropped(alice):
    """Beyond 255 characters the PATCH is fine, the uploads stay, and there is no value."""
    files = list(patient("98892001/CT2N").values())
    (value,) = patched_case(alice, "archives/items/", image_set(alice, files, "n" * 255))
    assert alice.tell(value["image"])["name"] == "n" * 255
    source = image_set(alice, files, "n" * 256)
    assert patched_case(alice, "archives/items/", source) == []
    assert alice.tell(source["user_uploads"][0])["status"] == "Completed"


@pytest.mark.parametrize("missing", ["image_name", "user_uploads"])
def test_name_and_files_go_together(alice, missing):
    """Neither a name nor files alone are a source of a DICOM Image Set."""
    source = image_set(alice, patient("98892001/CT2N").values())
    del source[missing]
    reply = alice.post_job("dicom-in", dicom_ct=source)
    assert reply.json() == {"inputs": [{"non_field_errors": [NEEDED]}]}


def test_name_of_nothing_is_refused(alice):
    """A name of blanks is none; blanks around one are dropped."""
    source = image_set(alice, patient("98892001/CT2N").values(), " a ")
    reply = alice.post_job("dicom-in", dicom_ct={**source, "image_name": "  "})
    blank = {"image_name": ["This field may not be blank."]}
    assert (reply.status_code, reply.json()) == (400, {"inputs": [blank]})
    start(alice, source)
    assert alice.tell("cases/images/?name=a")["count"] == 1


def test_case_may_have_a_set_from_the_start(sandbox, alice):
    """A set that is there before anybody sends one is made from a zip, and only from DICOM."""
    files = patient("98892001/CT2N")
    pk = sandbox.add_item("ct-archive", "p", {SOCKET: ("its name", zipped(files))})
    (value,) = alice.tell(f"archives/items/{pk}/")["values"]
    calls = [each["get_instance"] for each in instances(alice, value["image"])["instances"]]
    assert [fetched(call).content for call in calls] == list(files.values())
    assert alice.tell(value["image"])["name"] == "its name"
    for content in (zipped({"a": b"x"}), b"no zip"):
        with pytest.raises(ValueError, match="no DICOM Image Set"):
            sandbox.add_item("ct-archive", "q", {SOCKET: content})


def test_session_is_no_source_of_a_set(alice):
    """An upload session is refused for a DICOM Image Set."""
    (upload,) = uploaded(alice, [mha(1)])
    session = alice.session(upload)["api_url"]
    reply = alice.post_job("dicom-in", dicom_ct={"upload_session": session})
    assert reply.json() == {"inputs": [{"non_field_errors": [NEEDED]}]}


def test_existing_set_is_used_again(alice):
    """A set of an item is the input of a job; the same job again is refused."""
    source = image_set(alice, patient("98892001/CT2N").values())
    (value,) = patched_case(alice, "archives/items/", source)
    pk = start(alice, {"image": value["image"]})
    assert alice.job(pk)["inputs"][0]["image"] == value["image"]
    found = alice.tell(f"algorithms/jobs/?input_image={value['image'].split('/')[-2]}")
    assert [row["pk"] for row in found["results"]] == [pk]
    assert alice.post_job("dicom-in", dicom_ct={"image": value["image"]}).status_code == 400


@pytest.fixture
def made(alice):
    """An image set, by its image."""
    source = image_set(alice, patient("98892001/CT2N").values())
    return alice.job(start(alice, source))["inputs"][0]["image"]


def first_call(user, image):
    return instances(user, image)["instances"][0]["get_instance"]


def test_signed_request_dies_within_minutes(sandbox, alice, made):
    """After five minutes the DICOM store refuses, and a new list gives new requests."""
    call = first_call(alice, made)
    sandbox.advance(240)
    assert fetched(call).status_code == 200
    sandbox.advance(62)
    late = fetched(call)
    assert (late.status_code, late.json()["message"][:17]) == (403, "Signature expired")
    assert fetched(first_call(alice, made)).status_code == 200


def test_lifetime_of_signed_requests_can_be_set(sandbox, alice, made):
    """A shorter life, for tests of what comes after it."""
    sandbox.configure(dicom_lifetime=10)
    call = first_call(alice, made)
    sandbox.advance(12)
    assert fetched(call).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}], ids=["none", "token"])
def test_dicom_store_wants_the_signature(alice, made, headers):
    """Without the signed headers, and with a token in their place, there is nothing."""
    call = first_call(alice, made)
    own = {**headers, "X-Amz-Date": call["headers"]["X-Amz-Date"]}
    reply = fetched({**call, "headers": own})
    assert (reply.status_code, reply.json()) == (403, {"message": "Missing Authentication Token"})


def test_signature_is_of_one_instance(alice, made):
    """The headers of one instance do not fetch another, or the same of another set."""
    one, other = (each["get_instance"] for each in instances(alice, made)["instances"])
    assert fetched({**one, "url": other["url"]}).status_code == 403
    assert fetched({**one, "url": one["url"] + "0"}).status_code == 403


def test_only_who_sees_a_set_is_told_its_instances(sandbox, alice, made):
    """Others, and images that are no set, give 404."""
    with SandboxUser(sandbox, sandbox.bob_token) as bob:
        assert bob.call("GET", f"{made}dicom/instances/").status_code == 404
    _, job = alice.copy(mha(1))
    reply = alice.call("GET", f"{job['inputs'][0]['image']}dicom/instances/")
    assert (reply.status_code, reply.json()) == (404, {"detail": "Not found."})


def test_calls_to_the_store_carry_no_token(sandbox, alice, made):
    """The store is an origin of its own, on record as storage."""
    sandbox.forget_calls()
    fetched(first_call(alice, made))
    assert [(call["host"], call["status"]) for call in sandbox.calls()] == [
        ("api", 200),
        ("storage", 200),
    ]


def test_state_tells_instances_by_their_hash(sandbox, made):
    """What the sandbox says of a set: no file, and the SHA-256 of each instance."""
    (job,) = sandbox.state()["jobs"]
    (value,) = job["inputs"]
    assert (value["image"], value["sha256"]) == (made.split("/")[-2], None)
    assert len(set(value["instances"])) == 2


def test_job_takes_all_sorts_of_inputs(alice):
    """A set, an image, a file and a value in one job."""
    job = alice.job(
        alice.start(
            "everything",
            dicom_ct=image_set(alice, patient("98892001/CT2N").values()),
            ct_image={"user_uploads": [alice.upload(mha(1, 2))]},
            clinical_info={"user_upload": alice.upload(b"{}", "info.json")},
            threshold={"value": 1},
        )
    )
    assert (job["status"], len(job["inputs"]), len(job["outputs"])) == ("Succeeded", 4, 3)


def test_official_client_sends_and_fetches_a_set(tmp_path, monkeypatch):
    """gcapi, unmodified, de-identifies and uploads a series, and downloads it again."""
    paths = []
    for name, content in patient("98892001/CT5N").items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    with Sandbox(tmp_path / "sandbox", tls=True) as sandbox:
        # Its requests to the DICOM store do not use the client's own trust.
        monkeypatch.setenv("SSL_CERT_FILE", str(sandbox.ca))
        with gcapi.Client(
            token=sandbox.token, base_url=sandbox.url, verify=str(sandbox.ca)
        ) as client:
            spec = gcapi.SocketValueSpec(SOCKET, files=paths, image_name="by gcapi")
            job = client.start_algorithm_job(algorithm_slug="dicom-in", inputs=[spec])
            job = client.algorithm_jobs.detail(job.pk)
            assert job.status == "Succeeded"
            got = client.images.download(url=job.inputs[0].image, output_directory=tmp_path / "o")
    pixels = {pydicom.dcmread(path).PixelData for path in got}
    assert pixels == {pydicom.dcmread(path).PixelData for path in paths}
    assert {path.stem for path in got} == {pydicom.dcmread(path).SOPInstanceUID for path in got}
