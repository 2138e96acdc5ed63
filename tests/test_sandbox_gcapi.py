"""The official client, unmodified, works against the sandbox over https."""

import json

import gcapi
import pytest
from gcapi import SocketValueSpec, models
from pydantic import RootModel
from sandbox_user import mha, patient

from gcwatch.sandbox import Sandbox, metaimage

STORED = b'{ "age":\t7 ,  "sex": "F"}'


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("sandbox"), tls=True) as running:
        yield running


@pytest.fixture(scope="module")
def client(sandbox):
    with gcapi.Client(token=sandbox.token, base_url=sandbox.url, verify=str(sandbox.ca)) as made:
        yield made


@pytest.fixture(scope="module")
def used(client, tmp_path_factory):
    """The client, after a job with an image, a value and files, and an upload that is left."""
    path = tmp_path_factory.mktemp("used") / "case.mha"
    path.write_bytes(mha(1, 2, 3))
    image = SocketValueSpec("ct-image", file=path)
    limit = SocketValueSpec("threshold", value=1.5)
    client.start_algorithm_job(algorithm_slug="threshold", inputs=[image, limit])
    with path.open("rb") as file:
        client.uploads.upload_fileobj(fileobj=file, filename="left.mha")
    return client


def finished(client, job):
    """The job as the client reads it, with every value of it."""
    job = client.algorithm_jobs.detail(job.pk)
    assert job.status == "Succeeded"
    return job, {each.socket.slug: each for each in job.outputs}


def test_image_goes_up_and_results_come_down(client, tmp_path):
    """A job with one image: started, polled, and its outputs written by the client."""
    (tmp_path / "case.mha").write_bytes(mha(1, 2, 3))
    spec = SocketValueSpec("generic-medical-image", file=tmp_path / "case.mha")
    started = client.start_algorithm_job(algorithm_slug="copy-image", inputs=[spec])
    assert isinstance(started, models.JobPost)
    job, outputs = finished(client, started)
    for value in outputs.values():
        client.download_socket_value(value, output_directory=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "results.json").read_text())["job"] == job.pk
    (image,) = (tmp_path / "out").glob("*.mha")
    volume, _ = metaimage.read(image, tmp_path)
    assert [list(piece) for piece in metaimage.voxels(volume)] == [[1, 2, 3]]


def test_dicom_folder_is_sent_file_by_file(client, tmp_path):
    """The client sends a series as single files in parallel; they become one image."""
    paths = []
    for name, content in patient("98892001/CT5N").items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    ct = SocketValueSpec("ct-image", files=paths)
    limit = SocketValueSpec("threshold", value=-2000)
    started = client.start_algorithm_job(algorithm_slug="threshold", inputs=[ct, limit])
    _, outputs = finished(client, started)
    assert outputs["voxel-count"].value == 5 * 16 * 16
    mask = client.images.detail(api_url=outputs["segmentation"].image)
    assert mask.shape == [5, 16, 16]
    for value in outputs.values():
        client.download_socket_value(value, output_directory=tmp_path / "out")
    assert (tmp_path / "out" / "report.csv").read_bytes() == b"voxels\r\n1280\r\n"
    assert len(list((tmp_path / "out" / "images" / "segmentation").glob("*.mha"))) == 1


def test_values_and_files_go_both_ways(client, tmp_path):
    """A literal value, and a JSON file, there and back."""
    value = SocketValueSpec("threshold", value=21.0)
    _, outputs = finished(
        client, client.start_algorithm_job(algorithm_slug="values-only", inputs=[value])
    )
    assert outputs["score"].value == 42.0
    (tmp_path / "info.json").write_bytes(STORED)
    info = SocketValueSpec("clinical-info", file=tmp_path / "info.json")
    _, outputs = finished(
        client, client.start_algorithm_job(algorithm_slug="file-only", inputs=[info])
    )
    copy = outputs["clinical-info-copy"]
    client.download_socket_value(copy, output_directory=tmp_path)
    assert json.loads((tmp_path / "clinical-info-copy.json").read_text()) == json.loads(STORED)


def test_existing_image_is_used_again(client, tmp_path):
    """An image of an earlier job is the input of another; the same again is refused."""
    (tmp_path / "case.mha").write_bytes(mha(5))
    spec = SocketValueSpec("generic-medical-image", file=tmp_path / "case.mha")
    started = client.start_algorithm_job(algorithm_slug="copy-image", inputs=[spec])
    job, _ = finished(client, started)
    again = SocketValueSpec("generic-medical-image", existing_image_api_url=job.inputs[0].image)
    with pytest.raises(gcapi.client.HTTPStatusError, match="400"):
        client.start_algorithm_job(algorithm_slug="copy-image", inputs=[again])
    (found,) = client.algorithm_jobs.iterate_all(
        params={"input_image": job.inputs[0].image[-37:-1]}
    )
    assert found == job


def test_every_object_is_as_the_client_models_it(used):
    """Each list parses, strictly, into the client's own models."""
    for api in (
        used.algorithms,
        used.algorithm_jobs,
        used.algorithm_images,
        used.interfaces,
        used.uploads,
        used.raw_image_upload_sessions,
        used.images,
        used.archives,
        used.archive_items,
        used.reader_studies,
        used.reader_studies.display_sets,
    ):
        assert [type(row) for row in api.iterate_all()] == [api.model] * api.page().total_count


@pytest.mark.parametrize(
    "path",
    [
        "algorithms/",
        "components/interfaces/",
        "algorithms/jobs/",
        "algorithms/images/",
        "cases/images/",
        "cases/upload-sessions/",
        "uploads/",
    ],
)
def test_models_leave_no_key_over(used, path):
    """The sandbox of 2026 answers exactly the keys that the client's models have."""
    model = {
        "algorithms/": models.Algorithm,
        "components/interfaces/": models.ComponentInterface,
        "algorithms/jobs/": models.HyperlinkedJob,
        "algorithms/images/": models.AlgorithmImage,
        "cases/images/": models.HyperlinkedImage,
        "cases/upload-sessions/": models.RawImageUploadSession,
        "uploads/": models.UserUpload,
    }[path]
    rows = used(path=path)["results"]
    assert rows
    for row in rows:
        assert RootModel[model](root=row).model_dump(mode="json") == row


def test_token_goes_to_the_api_only(sandbox, client, tmp_path):
    """The client's storage calls carry no token, and so the sandbox sees none."""
    (tmp_path / "x.mha").write_bytes(mha(1))
    spec = SocketValueSpec("generic-medical-image", file=tmp_path / "x.mha")
    client.start_algorithm_job(algorithm_slug="copy-image", inputs=[spec])
    carried = {call["host"]: call["authorization"] for call in sandbox.calls()}
    assert carried == {"api": True, "storage": False}
