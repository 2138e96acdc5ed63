"""The sandbox's API: who may ask, how lists are cut, and the rules of uploads and jobs."""

import json

import pytest
from support.sandbox_user import GENERIC, SandboxUser, mha

from gcwatch.sandbox import Sandbox, Settings

LINK_DEAD = "Invalid hyperlink - Object does not exist."
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def sandbox(tmp_path):
    with Sandbox(tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


@pytest.fixture
def bob(sandbox):
    with SandboxUser(sandbox, sandbox.bob_token) as user:
        yield user


def refusal(reply):
    return reply.status_code, reply.json()


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("Bearer " + "0" * 64, "Invalid token."),
        ("Bearer", "Invalid token header. No credentials provided."),
        ("Bearer a b", "Invalid token header. Token string should not contain spaces."),
    ],
)
def test_bad_token_is_401_even_where_none_is_needed(alice, header, detail):
    """A token that is sent must be right, on the public endpoint too."""
    reply = alice.call("GET", "gcapi/", headers={"Authorization": header})
    assert refusal(reply) == (401, {"detail": detail})
    assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_scheme_is_case_insensitive(alice):
    """BEARER, as gcapi sends it, signs in."""
    headers = {"Authorization": f"BEARER {alice.token}"}
    assert alice.tell("profiles/users/self/", headers=headers)["user"] == {"username": "alice"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token abc"}])
def test_anonymous_reads_see_nothing(alice, headers):
    """Without a token lists are empty, details are missing and writes are refused."""
    detail = "Authentication credentials were not provided."
    whoami = alice.tell("profiles/users/self/", headers=headers)["user"]["username"]
    assert whoami == "AnonymousUser"
    assert alice.tell("algorithms/", headers=headers)["count"] == 0
    path = alice.algorithm()
    assert alice.call("GET", path, headers=headers).status_code == 404
    assert alice.call("POST", "uploads/", {}, headers=headers).status_code == 401
    reply = alice.call("GET", "components/interfaces/", headers=headers)
    assert refusal(reply) == (401, {"detail": detail})


def test_expired_token_is_refused(sandbox, alice):
    """A token may end while the sandbox runs."""
    sandbox.configure(token_valid=False)
    assert alice.call("GET", "algorithms/").status_code == 401


def test_a_token_can_be_changed(sandbox, alice):
    """Then the new one is hers, and the old one nobody's."""
    sandbox.change_token("0123abcd")
    assert alice.call("GET", "algorithms/").status_code == 401
    alice.token = "0123abcd"
    assert alice.tell("profiles/users/self/")["user"]["username"] == "alice"


def test_other_user_sees_none_of_it(alice, bob):
    """Bob finds no algorithm, upload, session, job or image of Alice's."""
    session, job = alice.copy(mha(1, 2))
    image = session["image_set"][0]
    upload = alice.begin()
    paths = [session["api_url"], job["api_url"], image, upload["api_url"], job["algorithm"]]
    assert [bob.call("GET", path).status_code for path in paths] == [404] * 5
    lists = ["algorithms/", "algorithms/jobs/", "uploads/", "cases/images/"]
    assert [bob.tell(path)["count"] for path in lists] == [0] * 4
    media = alice.tell(image)["files"][0]["file"]
    assert bob.call("GET", media).status_code == 403


def test_missing_slash_redirects(alice):
    """A path without its last slash answers 301, keeping the query."""
    reply = alice.call("POST", "algorithms/jobs?a=1")
    assert (reply.status_code, reply.headers["Location"]) == (301, "/api/v1/algorithms/jobs/?a=1")


def test_unknown_path_is_html(alice):
    """Errors of the site are HTML even for clients that want JSON."""
    reply = alice.call("GET", "nope/")
    assert (reply.status_code, reply.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "algorithms/jobs/", 403), ("DELETE", "uploads/", 403), ("POST", "algorithms/", 403)],
)
def test_verbs_that_are_not_there_are_403(alice, method, path, status):
    """Rights are checked before the verb."""
    assert alice.call(method, path, {}).status_code == status


def test_lists_are_paged(alice):
    """Limit and offset cut a list; links lead on; junk is ignored."""
    for name in "abc":
        alice.begin(name)
    first = alice.tell("uploads/?limit=2&junk=1")
    assert (first["count"], len(first["results"]), first["previous"]) == (3, 2, None)
    assert first["next"] == f"{alice.root}uploads/?junk=1&limit=2&offset=2"
    last = alice.tell(first["next"])
    assert (len(last["results"]), last["next"]) == (1, None)
    assert last["previous"] == f"{alice.root}uploads/?junk=1&limit=2"
    beyond = alice.tell("uploads/?offset=99&limit=0")
    assert (beyond["count"], beyond["results"]) == (3, [])


def test_limit_is_clamped(sandbox, alice):
    """No page holds more than 1000 rows."""
    sandbox.configure(max_uploads=5000)
    for _ in range(3):
        alice.begin()
    state = sandbox.platform_state
    upload = next(iter(state.uploads.values()))
    for number in range(1100):
        copy = type(upload)(upload.owner, str(number), upload.created)
        state.uploads[copy.pk] = copy
    assert len(alice.tell("uploads/?limit=5000")["results"]) == 1000
    assert len(alice.tell("uploads/")["results"]) == 100


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a/b", "a/b is not a valid filename"),
        ("x" * 129, "Ensure this field has no more than 128 characters."),
        ("", "This field may not be blank."),
        (None, "This field is required."),
        ("a\0b", "Null characters are not allowed."),
    ],
)
def test_bad_file_names_are_refused(alice, name, problem):
    """A file name must be a plain, short name."""
    reply = alice.call("POST", "uploads/", {"filename": name})
    assert refusal(reply) == (400, {"filename": [problem]})


def test_too_many_uploads_are_refused(sandbox, alice):
    """The number of upload records is limited."""
    sandbox.configure(max_uploads=1)
    alice.begin()
    problem = "You have created too many uploads. Please try again later."
    assert refusal(alice.call("POST", "uploads/", {"filename": "b"})) == (
        400,
        {"non_field_errors": [problem]},
    )


def test_uploads_die_after_their_lifetime(sandbox, alice):
    """A day later an upload is gone, with its place in its session."""
    upload = alice.upload(mha(1))
    session = alice.session(upload)
    sandbox.advance(86_401)
    assert refusal(alice.call("GET", upload)) == (
        404,
        {"detail": "No UserUpload matches the given query."},
    )
    assert alice.tell(session["api_url"])["uploads"] == []


def test_session_is_a_one_time_token(alice):
    """One job uses a session; the second finds it gone, and there is one job."""
    session = alice.session(alice.upload(mha(1)))
    source = {"upload_session": session["api_url"]}
    alice.start(generic_medical_image=source)
    second = alice.post_job(generic_medical_image=source)
    assert refusal(second) == (400, {"inputs": [{"upload_session": [LINK_DEAD]}]})
    assert alice.tell("algorithms/jobs/")["count"] == 1


def test_session_passes_through_its_statuses(sandbox, alice):
    """A used session waits, imports, and only later is its image attached."""
    sandbox.configure(import_seconds=1000)
    session = alice.session(alice.upload(mha(1)))["api_url"]
    assert alice.tell(session)["status"] == "Queued"
    job = alice.start(generic_medical_image={"upload_session": session})
    assert alice.tell(session)["status"] == "Re-Queued"
    sandbox.advance(1100)
    imported = alice.tell(session)
    image = imported["image_set"][0]
    assert (imported["status"], imported["uploads"]) == ("Succeeded", [])
    assert (alice.call("GET", image).status_code, alice.job(job)["inputs"]) == (404, [])
    sandbox.advance(110)
    assert alice.job(job)["inputs"][0]["image"] == image
    found = alice.tell(f"algorithms/jobs/?input_image={image.split('/')[-2]}")
    assert [row["pk"] for row in found["results"]] == [job]


@pytest.mark.parametrize("link", ["uploads", "nothing"])
def test_session_takes_only_own_complete_uploads(alice, bob, link):
    """Open and foreign uploads do not exist for a session."""
    upload = alice.begin()["api_url"] if link == "uploads" else bob.upload(b"x")
    reply = alice.call("POST", "cases/upload-sessions/", {"uploads": [upload]})
    assert refusal(reply) == (400, {"uploads": [LINK_DEAD]})


def test_session_needs_unique_names(alice):
    """Two files of one name do not go into one session."""
    uploads = [alice.upload(b"1"), alice.upload(b"2")]
    reply = alice.call("POST", "cases/upload-sessions/", {"uploads": uploads})
    assert refusal(reply) == (400, {"uploads": ["Filenames must be unique"]})


def test_sessions_can_be_switched_off(sandbox, alice):
    """Without creation of sessions, OPTIONS says so and POST is 405."""
    offered = alice.call("OPTIONS", "cases/upload-sessions/").json()
    sandbox.configure(sessions=False)
    gone = alice.call("OPTIONS", "cases/upload-sessions/").json()
    assert ("POST" in offered["actions"], "actions" in gone) == (True, False)
    reply = alice.call("POST", "cases/upload-sessions/", {"uploads": []})
    assert refusal(reply) == (405, {"detail": 'Method "POST" not allowed.'})


def test_job_passes_through_its_statuses(sandbox, alice):
    """A job moves on with the sandbox's clock."""
    sandbox.configure(job_seconds=10_000)
    source = {"user_uploads": [alice.upload(mha(1))]}
    reply = alice.post_job(generic_medical_image=source)
    seen = [reply.json()["status"]]
    pk = reply.json()["pk"]
    for _ in range(6):
        seen.append(alice.job(pk)["status"])
        sandbox.advance(2100)
    expected = ["Validating inputs", "Queued", "Provisioned", "Executing", "Executing", "Executed"]
    assert seen == [*expected, "Succeeded"]


def test_job_refusals_come_in_the_platforms_order(sandbox, alice):
    """Each refusal hides those after it."""
    _, done = alice.copy(mha(1))
    image = {"image": done["inputs"][0]["image"]}
    running = {"value": 1.0}
    sandbox.configure(images_ready=False, credits=0, active_jobs=0)

    def problem(**inputs):
        return alice.post_job(**inputs).json()["non_field_errors"][0]

    assert problem(ct_image=image) == "Algorithm image is not ready to be used"
    sandbox.configure(images_ready=True)
    assert problem(ct_image=image) == "You have run out of algorithm credits"
    sandbox.configure(credits=1000)
    too_many = "You have too many active jobs, please try again after they have completed"
    assert problem(ct_image=image) == too_many
    sandbox.configure(active_jobs=16)
    assert "Interface 1: Generic Medical Image (Image)" in problem(ct_image=image)
    duplicate = "A result for these inputs with the current image and model already exists."
    assert problem(generic_medical_image=image) == duplicate
    sandbox.configure(images_ready=False)
    reply = alice.post_job("values-only", threshold={"value": "much"}, voxel_count=running)
    schema = "JSON does not fulfill schema: instance"
    assert reply.json()["inputs"] == [
        {"__all__": [f"{schema} 'much' is not of type 'number'"]},
        {"__all__": [f"{schema} 1.0 is not of type 'integer'"]},
    ]


@pytest.mark.parametrize(
    ("slug", "body"),
    [
        ("not-ready", {"non_field_errors": ["Algorithm image is not ready to be used"]}),
        ("no-credits", {"non_field_errors": ["You have run out of algorithm credits"]}),
        ("forbidden", {"algorithm": [LINK_DEAD]}),
    ],
)
def test_some_algorithms_refuse_every_job(alice, slug, body):
    """Algorithms for each reason not to start."""
    source = {"user_uploads": [alice.upload(mha(1))]}
    assert refusal(alice.post_job(slug, generic_medical_image=source)) == (400, body)


def test_two_interfaces_are_both_taken(alice):
    """An algorithm with an optional input runs with and without it."""
    image = {"user_uploads": [alice.upload(mha(1))]}
    assert alice.job(alice.start("two-ways", ct_image=image))["status"] == "Succeeded"
    image = {"user_uploads": [alice.upload(mha(1))]}
    pk = alice.start("two-ways", ct_image=image, threshold={"value": 2})
    assert [each["socket"]["slug"] for each in alice.job(pk)["inputs"]] == ["threshold", "ct-image"]


def test_active_jobs_are_counted(sandbox, alice):
    """Unfinished jobs hold places; finished ones give them back."""
    sandbox.configure(active_jobs=1, job_seconds=1000)
    source = {"value": 1}
    alice.start("values-only", threshold=source)
    assert alice.post_job("values-only", threshold={"value": 2}).status_code == 400
    sandbox.advance(1001)
    assert alice.post_job("values-only", threshold={"value": 2}).status_code == 201


def test_failed_job_says_failed_and_no_more(alice):
    """A failed job has no outputs and cannot be repeated with the same image."""
    source = {"user_uploads": [alice.upload(mha(1))]}
    job = alice.job(alice.start("always-fails", generic_medical_image=source))
    assert (job["status"], job["outputs"]) == ("Failed", [])
    image = {"image": job["inputs"][0]["image"]}
    assert alice.post_job("always-fails", generic_medical_image=image).status_code == 400


def test_unparsable_json_hangs_the_job(sandbox, alice):
    """A File input that is no JSON leaves the job validating for ever, and its upload there."""
    upload = alice.upload(b"{nope", "info.json")
    pk = alice.start("file-only", clinical_info={"user_upload": upload})
    sandbox.advance(3600)
    assert alice.job(pk)["status"] == "Validating inputs"
    assert alice.tell(upload)["status"] == "Completed"


def test_file_comes_back_byte_for_byte(alice):
    """A JSON file is not re-serialised; its upload is consumed; names are sanitised."""
    content = b'{ "a":1,\n\n "b" : 2.50}'
    upload = alice.upload(content, "my file (1).json")
    pk = alice.start("file-only", clinical_info={"user_upload": upload})
    job = alice.job(pk)
    assert alice.download(job["outputs"][0]["file"]).content == content
    assert job["outputs"][0]["file"].endswith("/clinical-info-copy.json")
    assert job["inputs"][0]["file"].endswith("/my_file_1.json")
    assert alice.call("GET", upload).status_code == 404


def test_threshold_is_really_computed(alice):
    """Voxels above the threshold are counted and marked."""
    image = {"user_uploads": [alice.upload(mha(-5, 0, 7, 9))]}
    job = alice.job(alice.start("threshold", ct_image=image, threshold={"value": 0.5}))
    outputs = {each["socket"]["slug"]: each for each in job["outputs"]}
    assert outputs["voxel-count"]["value"] == 2
    assert alice.download(outputs["report-csv"]["file"]).content == b"voxels\r\n2\r\n"
    report = alice.download(outputs["report"]["file"]).content
    assert json.loads(report) == {"voxels": 2, "threshold": 0.5, "unit": "1"}
    assert json.dumps(json.loads(report)).encode() != report
    mask = alice.tell(outputs["segmentation"]["image"])
    assert (mask["width"], mask["height"], mask["depth"]) == (4, 1, 1)


def test_two_images_come_from_two_sessions(alice):
    """A job with two image inputs waits for both."""
    uploads = [alice.upload(mha(value), f"{value}.mha") for value in (1, 2)]
    ct, pet = ({"upload_session": alice.session(each)["api_url"]} for each in uploads)
    job = alice.job(alice.start("two-images", ct_image=ct, pet_image=pet))
    assert job["status"] == "Succeeded"
    assert [each["socket"]["slug"] for each in job["inputs"]] == ["ct-image", "pet-image"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({}, "You must provide at least one of"),
        ({"value": 3}, "required for interface kind IMG"),
        ({"value": 3, "image": None}, "required for interface kind IMG"),
    ],
)
def test_image_socket_needs_an_image(alice, source, problem):
    """Other sources are refused on an image socket."""
    reply = alice.post_job(generic_medical_image=source)
    assert problem in reply.json()["inputs"][0]["non_field_errors"][0]


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("copy-image", "Invalid hyperlink - No URL match."),
        ("/api/v1/uploads/x/", "Invalid hyperlink - Incorrect URL match."),
        (7, "Incorrect type. Expected URL string, received int."),
    ],
)
def test_links_must_be_links(alice, link, problem):
    """What is not the URL of an algorithm is refused as such."""
    reply = alice.call("POST", "algorithms/jobs/", {"algorithm": link, "inputs": []})
    assert refusal(reply) == (400, {"algorithm": [problem]})


def test_links_are_taken_as_paths_too(alice):
    """Only the path of a hyperlink counts, not its host."""
    upload = alice.upload(mha(1))
    path = upload.removeprefix(alice.root.removesuffix("/api/v1/"))
    elsewhere = f"https://elsewhere.example{path}"
    assert alice.session(elsewhere)["uploads"] == alice.session(path)["uploads"] == [upload]


def test_job_filters_know_their_values(alice):
    """A filter with an unknown value is 400; one that does not exist is ignored."""
    unknown = "00000000-0000-4000-8000-000000000000"
    for path in (f"?input_image={unknown}", "?input_image=x", "?algorithm_image__algorithm=x"):
        assert alice.call("GET", f"algorithms/jobs/{path}").status_code == 400
    assert alice.tell("algorithms/jobs/?image=x")["count"] == 0


def test_images_are_found_by_origin_and_name(alice):
    """The image list has the platform's filters."""
    session, job = alice.copy(mha(1), "p1.mha")
    pk = session["image_set"][0].split("/")[-2]
    for query in (f"origin={session['pk']}", "name=p1.mha"):
        assert [row["pk"] for row in alice.tell(f"cases/images/?{query}")["results"]] == [pk]
    for key in ("job_input", "job_output"):  # listed in its schema, and broken (recording 22)
        assert alice.call("GET", f"cases/images/?{key}={job['pk']}").status_code == 500


def test_answers_follow_the_schema_that_is_set(sandbox, alice):
    """In 2026 values name their socket twice; in 2025 images have patient fields."""
    _, job = alice.copy(mha(1))
    value = alice.job(job["pk"])["inputs"][0]
    assert value["socket"] == value["interface"]
    assert "patient_id" not in alice.tell(value["image"])
    sandbox.configure(schema="2025-11")
    value = alice.job(job["pk"])["inputs"][0]
    assert ("socket" in value, "patient_id" in alice.tell(value["image"])) == (False, True)


def test_average_duration_is_what_is_set(sandbox, alice):
    """Algorithms state how long they take."""
    sandbox.configure(job_seconds=12.5)
    assert alice.tell("algorithms/")["results"][0]["average_duration"] == 12.5
    sandbox.configure(average_duration=40.0)
    assert alice.tell("algorithms/")["results"][0]["average_duration"] == 40.0


def test_standard_sockets_are_listed(alice):
    """A socket is found by its slug and by its number."""
    found = alice.tell(f"components/interfaces/?slug={GENERIC}")["results"]
    assert found == [alice.tell("components/interfaces/1/")]
    assert found[0]["relative_path"] == ""


def test_settings_start_as_given(tmp_path):
    """A sandbox begins with the settings that it is made with."""
    with (
        Sandbox(tmp_path, Settings(max_uploads=0)) as sandbox,
        SandboxUser(sandbox) as user,
    ):
        assert user.call("POST", "uploads/", {"filename": "a"}).status_code == 400
        with pytest.raises(ValueError, match="no such setting"):
            sandbox.configure(patience=3)


def test_token_outlives_a_run(tmp_path):
    """The token is in a file that nobody else may read; what was uploaded is gone."""
    with Sandbox(tmp_path) as first, SandboxUser(first) as user:
        user.upload(mha(1))
    with Sandbox(tmp_path) as second, SandboxUser(second, first.token) as user:
        assert user.tell("uploads/")["count"] == 0
    assert (tmp_path / "token").read_text().strip() == first.token
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    assert list((tmp_path / "storage" / "parts").iterdir()) == []


EXPECTED_LIST = 'Expected a list of items but got type "dict".'
EXPECTED_OBJECT = "Invalid data. Expected a dictionary, but got list."


@pytest.mark.parametrize(
    ("path", "body", "errors"),
    [
        ("uploads/", [], {"non_field_errors": [EXPECTED_OBJECT]}),
        ("uploads/", {"filename": 3}, {"filename": ["Not a valid string."]}),
        ("cases/upload-sessions/", {}, {"uploads": ["This field is required."]}),
        ("cases/upload-sessions/", {"uploads": {}}, {"uploads": [EXPECTED_LIST]}),
        (
            "cases/upload-sessions/",
            {"uploads": [], "archive": "x"},
            {"archive": ["Object with slug=x does not exist."]},
        ),
        (
            "cases/upload-sessions/",
            {"uploads": [], "display_set": UNKNOWN},
            {"display_set": [f'Invalid pk "{UNKNOWN}" - object does not exist.']},
        ),
        (
            "algorithms/jobs/",
            {},
            {key: ["This field is required."] for key in ("algorithm", "inputs")},
        ),
    ],
)
def test_malformed_bodies_are_refused(alice, path, body, errors):
    """What is missing or of the wrong type is said by field."""
    assert refusal(alice.call("POST", path, body)) == (400, errors)


@pytest.mark.parametrize(
    ("inputs", "errors"),
    [
        ({}, {"non_field_errors": [EXPECTED_LIST]}),
        ([[]], [{"non_field_errors": [EXPECTED_OBJECT]}]),
        ([{"value": 1}], [{"interface": ["This field is required."]}]),
        (
            [{"interface": "threshold", "value": 1}, {"interface": "no"}],
            [{}, {"interface": ["Object with slug=no does not exist."]}],
        ),
        (
            [{"interface": "threshold", "value": None}],
            [{"non_field_errors": ["value is required for interface kind FLT"]}],
        ),
        (
            [{"interface": "threshold", "user_uploads": []}],
            [{"non_field_errors": ["value is required for interface kind FLT"]}],
        ),
        (
            [{"interface": "clinical-info", "value": {}}],
            [{"non_field_errors": ["user_upload or file is required for interface kind JSON"]}],
        ),
        (
            [{"interface": "ct-image", "user_uploads": [f"/api/v1/uploads/{UNKNOWN}/", "x"]}],
            [{"user_uploads": [LINK_DEAD]}],
        ),
        (
            [{"interface": "ct-image", "upload_session": "x"}],
            [{"upload_session": ["Invalid hyperlink - No URL match."]}],
        ),
    ],
)
def test_malformed_inputs_are_refused(alice, inputs, errors):
    """Errors of inputs are told in the order of the inputs; {} is one that was fine."""
    data = {"algorithm": alice.algorithm("values-only"), "inputs": inputs}
    assert refusal(alice.call("POST", "algorithms/jobs/", data)) == (400, {"inputs": errors})


def test_job_with_a_socket_twice_takes_the_last(alice):
    """The same socket again replaces the first."""
    given = [{"interface": "threshold", "value": value} for value in (1, 5)]
    data = {"algorithm": alice.algorithm("values-only"), "inputs": given}
    job = alice.job(alice.make("algorithms/jobs/", data)["pk"])
    assert [each["value"] for each in job["inputs"]] == [5]
    assert [each["value"] for each in job["outputs"]] == [10]


def test_false_and_zero_are_values(alice):
    """Only null is no value."""
    assert alice.post_job("values-only", threshold={"value": 0}).status_code == 201


@pytest.mark.parametrize(
    "source", [{"image_name": "p", "user_uploads": []}, {"user_upload": "open"}]
)
def test_some_jobs_never_end(sandbox, alice, source):
    """An image name on an ordinary socket, and an open file, hang the job."""
    if "user_upload" in source:
        inputs = {"clinical_info": {"user_upload": alice.begin()["api_url"]}}
        pk = alice.start("file-only", **inputs)
    else:
        pk = alice.start(generic_medical_image=source)
    sandbox.advance(7 * 86_400)
    assert alice.job(pk)["status"] == "Validating inputs"


def test_credits_return_after_a_month(sandbox, alice):
    """Each job costs 20 credits, for 30 days."""
    sandbox.configure(credits=20)
    alice.start("values-only", threshold={"value": 1})
    problem = {"non_field_errors": ["You have run out of algorithm credits"]}
    assert refusal(alice.post_job("values-only", threshold={"value": 2})) == (400, problem)
    sandbox.advance(30 * 86_400)
    assert alice.post_job("values-only", threshold={"value": 2}).status_code == 201


def test_hundred_and_one_files_are_too_many_for_a_session(sandbox, alice):
    """A session made by POST holds 100 files."""
    first = alice.upload(b"x", "0")
    (upload,) = sandbox.platform_state.uploads.values()
    for number in range(1, 101):
        copy = type(upload)(upload.owner, str(number), upload.created, status="Completed")
        sandbox.platform_state.uploads[copy.pk] = copy
    links = [row["api_url"] for row in alice.tell("uploads/?limit=200")["results"]]
    assert (len(links), first in links) == (101, True)
    reply = alice.call("POST", "cases/upload-sessions/", {"uploads": links})
    assert reply.json()["uploads"][0].startswith("Too many files uploaded. A maximum of 100")


@pytest.mark.parametrize("query", ["origin=x", "job_input=x", "job_output=x"])
def test_image_filters_know_their_values(alice, query):
    """An unknown session or job in a filter is 400."""
    assert alice.call("GET", f"cases/images/?{query}").status_code == 400


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        (f"algorithms/{UNKNOWN}/", "No Algorithm matches the given query."),
        (f"algorithms/images/{UNKNOWN}/", "No AlgorithmImage matches the given query."),
        (f"archives/{UNKNOWN}/", "No Archive matches the given query."),
        (f"cases/upload-sessions/{UNKNOWN}/", "No RawImageUploadSession matches the given query."),
        ("components/interfaces/99/", "No ComponentInterface matches the given query."),
        ("algorithms/jobs/nope/", "Not found."),
    ],
)
def test_what_does_not_exist_is_404(alice, path, detail):
    """A detail says what was looked for, unless the key is no key."""
    assert refusal(alice.call("GET", path)) == (404, {"detail": detail})


def test_algorithm_images_are_listed(alice):
    """An algorithm's image leads back to the algorithm."""
    algorithm = alice.algorithm()
    pk = algorithm.split("/")[-2]
    (image,) = alice.tell(f"algorithms/images/?algorithm={pk}")["results"]
    assert image == alice.tell(image["api_url"])
    assert image["algorithm"] == algorithm
    assert alice.tell(algorithm)["slug"] == "copy-image"


def test_huge_request_is_413(alice):
    """More than 16 MiB do not go into a request to the API."""
    reply = alice.call("POST", "uploads/", {"filename": "x" * (16 * 1024**2)})
    assert (reply.status_code, reply.headers["Content-Type"][:9]) == (413, "text/html")
    assert alice.begin()["filename"] == "x.mha"


def test_form_bodies_are_taken(alice):
    """A form is as good as JSON."""
    headers = {"Authorization": f"Bearer {alice.token}"}
    reply = alice.post(f"{alice.root}uploads/", data={"filename": "f"}, headers=headers, timeout=60)
    assert (reply.status_code, reply.json()["filename"]) == (201, "f")


def test_head_is_a_get_without_a_body(alice):
    """HEAD gives the headers of GET, and the connection stays in step."""
    reply = alice.call("HEAD", "algorithms/")
    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply.headers["Content-Length"]) > 100
    assert alice.tell("gcapi/")["latest_version"] == "0.16.1"
