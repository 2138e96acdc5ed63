"""The official client, unmodified, works against the sandbox over https."""

import json

import gcapi
import pytest
from gcapi import SocketValueSpec, models
from pydantic import RootModel
from support.sandbox_user import mha, patient

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
def used(client, sandbox, tmp_path_factory):
    """The client, after a job, a display set, an item, an answer, and an upload that is left."""
    path = tmp_path_factory.mktemp("used") / "case.mha"
    path.write_bytes(mha(1, 2, 3))
    image = SocketValueSpec("ct-image", file=path)
    limit = SocketValueSpec("threshold", value=1.5)
    client.start_algorithm_job(algorithm_slug="threshold", inputs=[image, limit])
    with path.open("rb") as file:
        client.uploads.upload_fileobj(fileobj=file, filename="left.mha")
    client.add_case_to_reader_study(reader_study_slug="lung-study", values=[image, limit])
    client.add_case_to_archive(archive_slug="second-archive", values=[image, limit])
    question = sandbox.add_question("second-study", "Side", "Choice", options=["left", "right"])
    sandbox.add_answer(sandbox.add_display_set("second-study", "read"), question, 1)
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
    volume, _ = metaimage.read_volume(image, tmp_path)
    assert [list(piece) for piece in metaimage.read_voxels(volume)] == [[1, 2, 3]]


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


def held(case):
    """A case's values by socket, as a read tells them."""
    return {each.socket.slug: each for each in case.values}


@pytest.fixture
def specs(tmp_path):
    """Sources for one socket of every super kind."""
    (tmp_path / "ct.mha").write_bytes(mha(1, 2, 3))
    (tmp_path / "info.json").write_bytes(STORED)
    (tmp_path / "letter.pdf").write_bytes(b"%PDF-1.4 x")
    return [
        SocketValueSpec("ct-image", file=tmp_path / "ct.mha"),
        SocketValueSpec("clinical-info", file=tmp_path / "info.json"),
        SocketValueSpec("letter", file=tmp_path / "letter.pdf"),
        SocketValueSpec("threshold", value=1.5),
    ]


def downloaded(client, case, folder):
    """Every file that the client makes of a case: by path, the content that must come back."""
    for value in case.values:
        client.download_socket_value(value, output_directory=folder)
    (image,) = (folder / "images" / "ct-image").glob("*.mha")
    volume, _ = metaimage.read_volume(image, folder)
    return {
        "voxels": [list(piece) for piece in metaimage.read_voxels(volume)],
        "info": json.loads((folder / "clinical-info.json").read_text()),
        "letter": (folder / "letter.pdf").read_bytes(),
        "threshold": json.loads((folder / "threshold.json").read_text()),
    }


SENT = {
    "voxels": [[1, 2, 3]],
    "info": json.loads(STORED),
    "letter": b"%PDF-1.4 x",
    "threshold": 1.5,
}


def test_case_goes_into_a_reader_study_and_comes_back(client, specs, tmp_path):
    """A display set with every kind of value, filled, found in its list, and downloaded."""
    made = client.add_case_to_reader_study(
        reader_study_slug="lung-study", values=specs, title="gcapi", order=3
    )
    assert (made.title, made.order, made.reader_study) == ("gcapi", 3, "lung-study")
    case = client.reader_studies.display_sets.detail(pk=made.pk)
    study = client.reader_studies.detail(slug="lung-study")
    listed = client.reader_studies.display_sets.iterate_all(params={"reader_study": study.pk})
    assert [each for each in listed if each.pk == made.pk] == [case]
    assert (case.title_safe, case.reader_study) == ("gcapi", study.api_url)
    assert downloaded(client, case, tmp_path / "out") == SENT


def test_case_goes_into_an_archive_and_comes_back(client, specs, tmp_path):
    """The same with an archive item, and its images through the list of images."""
    made = client.add_case_to_archive(archive_slug="ct-archive", values=specs, title="gcapi")
    item = client.archive_items.detail(pk=made.pk)
    archive = client.archives.detail(slug="ct-archive")
    (listed,) = client.archive_items.iterate_all(params={"archive": archive.pk})
    assert (item.title, item.archive, listed) == ("gcapi", archive.api_url, item)
    assert downloaded(client, item, tmp_path / "out") == SENT
    (image,) = client.images.iterate_all(params={"archive": archive.pk})
    assert image.api_url == held(item)["ct-image"].image
    (path,) = client.images.download(pk=image.pk, output_directory=tmp_path / "flat")
    assert path.name == f"{image.pk}.mha"


def test_cases_are_updated(client, specs, tmp_path):
    """New values take the place of old ones, others stay; titles and orders change."""
    (tmp_path / "new.mha").write_bytes(mha(9))
    new = [
        SocketValueSpec("ct-image", file=tmp_path / "new.mha"),
        SocketValueSpec("threshold", value=2.5),
    ]
    case = client.add_case_to_reader_study(reader_study_slug="second-study", values=specs)
    item = client.add_case_to_archive(archive_slug="uploads-only", values=specs)
    before = held(client.archive_items.detail(pk=item.pk))
    client.update_display_set(display_set_pk=case.pk, values=new, title="new", order=7)
    client.update_archive_item(archive_item_pk=item.pk, values=new, title="new")
    case = client.reader_studies.display_sets.detail(pk=case.pk)
    item = client.archive_items.detail(pk=item.pk)
    assert (case.title_safe, case.order, item.title) == ("new", 7, "new")
    for values in (held(case), held(item)):
        assert set(values) == {"ct-image", "clinical-info", "letter", "threshold"}
        assert values["threshold"].value == 2.5
        assert client.images.detail(api_url=values["ct-image"].image).shape == [1, 1, 1]
    assert held(item)["letter"].pk == before["letter"].pk
    with pytest.raises(gcapi.exceptions.ObjectNotFound):
        client.images.detail(api_url=before["ct-image"].image)


def test_what_is_there_is_used_again(client, specs):
    """An existing image or value of an item goes into a display set, each as gcapi sends it."""
    item = client.add_case_to_archive(archive_slug="second-archive", values=specs)
    item = client.archive_items.detail(pk=item.pk)
    reused = [SocketValueSpec(each.socket.slug, existing_socket_value=each) for each in item.values]
    image = held(item)["ct-image"].image
    reused.append(SocketValueSpec("pet-image", existing_image_api_url=image))
    case = client.add_case_to_reader_study(reader_study_slug="second-study", values=reused)
    values = held(client.reader_studies.display_sets.detail(pk=case.pk))
    assert values["ct-image"].image == values["pet-image"].image == image
    assert values["threshold"] == held(item)["threshold"]
    assert values["letter"].file != held(item)["letter"].file


def test_refusals_reach_the_user_of_the_client(sandbox, client):
    """A title twice, a study that is only read, an archive that nobody may know."""
    spec = [SocketValueSpec("threshold", value=1)]
    add = client.add_case_to_reader_study
    add(reader_study_slug="lung-study", values=spec, title="twice")
    with pytest.raises(gcapi.client.HTTPStatusError, match="400"):
        add(reader_study_slug="lung-study", values=spec, title="twice")
    with pytest.raises(gcapi.client.HTTPStatusError, match="400"):
        add(reader_study_slug="readers-only", values=spec)
    with pytest.raises(gcapi.exceptions.ObjectNotFound):
        client.add_case_to_archive(archive_slug="hidden-archive", values=spec)
    pk = sandbox.add_display_set("readers-only", "seen")
    with pytest.raises(gcapi.client.HTTPStatusError, match="403"):
        client.update_display_set(display_set_pk=pk, values=spec)


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
        used.reader_studies.questions,
        used.reader_studies.answers,
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
        "archives/",
        "archives/items/",
        "reader-studies/",
        "reader-studies/display-sets/",
        "reader-studies/questions/",
        "reader-studies/answers/",
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
        "archives/": models.Archive,
        "archives/items/": models.ArchiveItem,
        "reader-studies/": models.ReaderStudy,
        "reader-studies/display-sets/": models.DisplaySet,
        "reader-studies/questions/": models.Question,
        "reader-studies/answers/": models.Answer,
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


STUDY = "lung-study"


@pytest.fixture
def questions(sandbox):
    """Questions of three kinds in the study, by what is asked."""
    add = sandbox.add_question
    return {
        "Nodules?": add(STUDY, "Nodules?", "Number", required=True),
        "Malignancy": add(STUDY, "Malignancy", "Choice", options=["benign", "malignant"]),
        "Lung": add(STUDY, "Lung", "Mask", segments={1: "lung"}),
    }


def test_answers_are_written_and_read(client, sandbox, questions, tmp_path):
    """What the client answers, edits and uploads as a mask is what it reads, and downloads."""
    api = client.reader_studies
    sandbox.switch_study(STUDY, allow_answer_modification=True)
    case = sandbox.add_display_set(STUDY, f"answered {questions['Lung']}")
    asked = {"display_set": case, "question": questions["Nodules?"]}
    counted = api.answers.create(**asked, answer=3, last_edit_duration="00:00:12.5", score=0.5)
    chosen = api.answers.create(**{**asked, "question": questions["Malignancy"]}, answer=None)
    edited = api.answers.partial_update(counted.pk, answer=4, last_edit_duration="00:00:04")
    assert (edited.answer, edited.total_edit_duration) == (4, "00:00:16.500000")
    masked = api.answers.create(**{**asked, "question": questions["Lung"]}, answer=None)
    (tmp_path / "mask.mha").write_bytes(mha(0, 1, element="MET_UCHAR", code="B"))
    with (tmp_path / "mask.mha").open("rb") as file:
        upload = client.uploads.upload_fileobj(fileobj=file, filename="mask.mha")
    session = {"uploads": [upload.api_url], "answer": masked.pk}
    client(method="POST", path="cases/upload-sessions/", json=session)

    study = api.detail(slug=STUDY)
    read = {
        each.pk: each
        for each in api.answers.iterate_all(
            params={"question__reader_study": study.pk, "display_set": case}
        )
    }

    assert read.keys() == {counted.pk, chosen.pk, masked.pk}
    assert read[counted.pk].answer == 4
    assert [each.pk for each in api.answers.mine.iterate_all(params={"display_set": case})] == [
        *read
    ]
    question = api.questions.detail(api_url=read[counted.pk].question)
    assert (question.question_text_safe, question.pk) == ("Nodules?", questions["Nodules?"])
    image = client.images.detail(api_url=read[masked.pk].answer_image)
    assert image.shape == [1, 1, 2]
    (got,) = client.images.download(files=image.files, output_directory=tmp_path, filename="got")
    assert got.stat().st_size > 0


def test_ground_truth_is_told_apart(client, sandbox, questions):
    """It is no answer of one's own; of an educational study the client reads it by display set."""
    sandbox.switch_study(STUDY, is_educational=True)
    case = sandbox.add_display_set(STUDY, f"known {questions['Lung']}")
    sandbox.add_answer(case, questions["Malignancy"], 1, is_ground_truth=True, explanation="seen")
    study = client.reader_studies.detail(slug=STUDY)
    (truth,) = client.reader_studies.answers.iterate_all(params={"display_set": case})
    assert truth.is_ground_truth
    assert not [*client.reader_studies.answers.mine.iterate_all(params={"display_set": case})]
    told = client.reader_studies.ground_truth(study.pk, case)
    assert told[questions["Malignancy"]]["explanation"] == "seen"
