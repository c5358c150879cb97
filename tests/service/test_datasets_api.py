"""Data sets are handed in, listed, described, downloaded, used and deleted."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service import Settings
from tests.service.actors import WorkerActor, ok, problem, sha256, spec
from tests.service.arrays import images, npz, rows

DATASETS = "/api/v1/datasets"
BYTES = {"Content-Type": "application/octet-stream"}


def upload(client: httpx.Client, name: str, content: bytes, **headers: str) -> httpx.Response:
    query = {"name": name}
    return client.post(DATASETS, params=query, content=content, headers={**BYTES, **headers})


def names(client: httpx.Client, **query: Any) -> list[str]:
    return [item["name"] for item in ok(client.get(DATASETS, params=query))["items"]]


def files(settings: Settings) -> list[Path]:
    folder = settings.data_dir / "artifacts"
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_upload_is_described_and_comes_back_as_it_was(client: httpx.Client) -> None:
    content = npz(**rows(60))
    made = upload(client, "mine", content)
    assert made.status_code == 201
    found = ok(client.get(f"{DATASETS}/mine"))
    assert found == made.json()
    assert (found["rows"], found["test_rows"], found["input_shape"]) == (60, None, [4])
    assert (found["num_classes"], found["class_counts"]) == (3, [20, 20, 20])
    assert (found["dtype"], found["size_bytes"]) == ("float32", len(content))
    assert (found["source"], found["sha256"]) == ("uploaded", sha256(content))
    assert (found["num_jobs"], found["jobs"]) == (0, [])
    whole = client.get(f"{DATASETS}/mine/content")
    assert (whole.content, whole.headers["etag"]) == (content, f'"{sha256(content)}"')
    part = client.get(f"{DATASETS}/mine/content", headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, content[4:10])


@pytest.mark.parametrize(
    "arrays",
    [
        images(),
        {"x": rows()["x"].astype(np.float16), "y": rows()["y"].astype(np.int8)},
        {"x": np.asfortranarray(rows()["x"]), "y": rows()["y"]},
        {"x": rows()["x"].astype(">f8"), "y": rows()["y"].astype(">u8")},
        {**rows(), "x_test": rows(9)["x"], "y_test": rows(9)["y"]},
    ],
    ids=["images", "half-precision", "fortran", "big-endian", "own-test-rows"],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_kind_of_rows_is_taken(
    client: httpx.Client, arrays: dict[str, Any], save: Any, tmp_path: Path
) -> None:
    save(tmp_path / "it.npz", **arrays)
    found = ok(upload(client, "mine", (tmp_path / "it.npz").read_bytes()))
    assert found["input_shape"] == list(arrays["x"].shape[1:])
    assert found["test_rows"] == (len(arrays["x_test"]) if "x_test" in arrays else None)


def test_the_same_name_and_content_are_the_same_data_set(client: httpx.Client) -> None:
    content = npz(**rows())
    first, again = upload(client, "mine", content), upload(client, "mine", content)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()


def test_a_name_never_stands_for_other_content(client: httpx.Client, settings: Settings) -> None:
    ok(upload(client, "mine", npz(**rows())))
    detail = problem(upload(client, "mine", npz(**rows(seed=1))), 409)["detail"]
    assert "of other content" in detail
    detail = problem(upload(client, "digits", npz(**rows())), 409)["detail"]
    assert "every worker has" in detail
    assert len(files(settings)) == 1


def test_uploads_of_one_name_at_once_make_one_data_set(client: httpx.Client) -> None:
    together = threading.Barrier(6)

    def one(number: int) -> int:
        content = npz(**rows(seed=number % 2))
        together.wait()
        return upload(client, "mine", content).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(one, range(6)))
    assert statuses == [200, 200, 201, 409, 409, 409]
    assert ok(client.get(f"{DATASETS}/mine"))["rows"] == 60


@pytest.mark.parametrize("name", ["", "a" * 64, "../x", ".hidden", "with space", "ü", "a\x00"])
def test_a_name_that_is_none_is_refused(client: httpx.Client, name: str) -> None:
    assert problem(upload(client, name, npz(**rows())), 422)["errors"][0]["field"] == "name"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"a,b\n1,2\n", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (npz(**rows()), "text/csv"),
        (npz(**rows()), "application/x-www-form-urlencoded"),
        (npz(**rows()), ""),
    ],
)
def test_another_kind_of_file_is_refused_with_what_is_taken(
    client: httpx.Client, content: bytes, kind: str
) -> None:
    answer = upload(client, "mine", content, **{"Content-Type": kind})
    assert "numpy.savez" in problem(answer, 415)["detail"]


def test_lists_are_filtered_sorted_and_cut_into_pages(client: httpx.Client) -> None:
    for number, name in enumerate(["Beta", "alpha", "gamma"]):
        ok(upload(client, name, npz(**rows(60 + number))))
    built_in = ["wine", "breast_cancer", "digits"]
    assert names(client) == ["gamma", "alpha", "Beta", *built_in]
    assert names(client, source="built_in") == built_in
    assert names(client, source="uploaded", sort="rows") == ["Beta", "alpha", "gamma"]
    assert names(client, text="ALPH") == ["alpha"]
    assert names(client, owner="nobody") == []
    for sort in ("name", "-name", "-rows", "created"):
        found, cursor = [], None
        while True:
            page = ok(client.get(DATASETS, params={"sort": sort, "limit": 2} | cursor_of(cursor)))
            found += [item["name"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert found == names(client, sort=sort)
        assert len(set(found)) == 6


def cursor_of(cursor: str | None) -> dict[str, str]:
    return {"cursor": cursor} if cursor else {}


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", "ü", 5, None])
def test_a_forged_cursor_of_names_is_refused(client: httpx.Client, value: Any) -> None:
    cursor = base64.urlsafe_b64encode(json.dumps(["name", value, 1]).encode()).decode()
    answer = client.get(DATASETS, params={"sort": "name", "cursor": cursor.rstrip("=")})
    assert problem(answer, 422)["errors"][0]["field"] == "cursor"


def test_what_is_not_there_is_a_404(client: httpx.Client) -> None:
    for path in ("none", "none/content", "%00", "digits/content"):
        problem(client.get(f"{DATASETS}/{path}"), 404)
    problem(client.delete(f"{DATASETS}/none"), 404)


def test_a_data_set_is_deleted_with_its_file_unless_something_else_has_it(
    client: httpx.Client, settings: Settings
) -> None:
    content = npz(**rows())
    for name in ("one", "two"):
        ok(upload(client, name, content))
    assert client.delete(f"{DATASETS}/one").status_code == 204
    assert len(files(settings)) == 1
    assert client.get(f"{DATASETS}/two/content").content == content
    assert client.delete(f"{DATASETS}/two").status_code == 204
    assert files(settings) == []
    assert problem(client.delete(f"{DATASETS}/digits"), 409)["detail"].startswith("'digits' is")


def test_a_data_set_that_jobs_use_stays(client: httpx.Client, settings: Settings) -> None:
    worker = WorkerActor(client)
    ok(upload(client, "mine", npz(**rows())))
    job_id = worker.submit(dataset="mine")
    assert ok(client.get(f"{DATASETS}/mine"))["jobs"] == [job_id]
    assert job_id in problem(client.delete(f"{DATASETS}/mine"), 409)["detail"]
    assert [job["id"] for job in ok(client.get("/api/v1/jobs?dataset=mine"))["items"]] == [job_id]
    ok(client.post(f"/api/v1/jobs/{job_id}/cancel"))
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert len(files(settings)) == 1
    assert client.delete(f"{DATASETS}/mine").status_code == 204


def test_a_network_with_the_same_bytes_as_a_data_set_takes_no_file_with_it(
    client: httpx.Client, worker: WorkerActor, settings: Settings
) -> None:
    content = npz(**rows())
    ok(upload(client, "mine", content))
    job_id = worker.submit()
    worker.claim()
    worker.finish(weights=content)
    ok(worker.release("succeeded"))
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    assert client.get(f"{DATASETS}/mine/content").content == content


def test_a_submission_is_checked_against_the_data_sets_that_there_are(
    client: httpx.Client,
) -> None:
    for query in ("", "?dry_run=true"):
        answer = client.post(f"/api/v1/jobs{query}", json=spec(dataset="mine"))
        (error,) = problem(answer, 422)["errors"]
        assert (error["field"], error["given"]) == ("dataset", "'mine'")
        assert "'digits', 'breast_cancer' or 'wine'" in error["allowed"]
    ok(upload(client, "mine", npz(**images())))
    body = spec(dataset="mine", network={"widths": [10]})
    plan = ok(client.post("/api/v1/jobs?dry_run=true", json=body))
    assert plan["largest_parameters"] == 37 * 10 + 11 * 3
    assert ok(client.post("/api/v1/jobs", json=body))["spec"]["dataset"] == "mine"


def test_a_clone_takes_no_data_set_that_is_not_there(client: httpx.Client) -> None:
    job_id = WorkerActor(client).submit()
    answer = client.post(f"/api/v1/jobs/{job_id}/clone", json={"dataset": "mine"})
    assert problem(answer, 422)["errors"][0]["field"] == "dataset"


def test_a_job_that_is_submitted_while_its_data_set_goes_finds_it_or_is_refused(
    client: httpx.Client,
) -> None:
    content = npz(**rows())
    together = threading.Barrier(2)

    def submit() -> int:
        together.wait()
        return client.post("/api/v1/jobs", json=spec(dataset="mine")).status_code

    def delete() -> int:
        together.wait()
        return client.delete(f"{DATASETS}/mine").status_code

    outcome = (422, 204)
    for _ in range(5):
        if outcome == (422, 204):
            ok(upload(client, "mine", content))
            with ThreadPoolExecutor(2) as pool:
                submitted, deleted = pool.submit(submit), pool.submit(delete)
            outcome = (submitted.result(), deleted.result())
            assert outcome in {(201, 409), (422, 204)}


def test_only_the_process_of_a_trial_that_runs_fetches_its_data_set(
    client: httpx.Client, worker: WorkerActor
) -> None:
    content = npz(**rows())
    ok(upload(client, "mine", content))
    worker.submit(dataset="mine")
    worker.claim()
    attempt = worker.begin()
    data = ok(worker.assignment(attempt))["data"]
    assert data == {"sha256": sha256(content), "size_bytes": len(content)}
    path = f"/api/v1/worker/attempts/{attempt['id']}/dataset"
    headers = {"Lease-Token": attempt["token"]}
    assert client.get(path, headers=headers).content == content
    problem(client.get(path, headers={"Lease-Token": "other"}), 409)
    ok(worker.end(attempt, "failed"))
    problem(client.get(path, headers=headers), 409)


def test_a_trial_on_a_data_set_of_every_worker_has_no_file(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    assert ok(worker.assignment(attempt))["data"] is None
    path = f"/api/v1/worker/attempts/{attempt['id']}/dataset"
    problem(worker.client.get(path, headers={"Lease-Token": attempt["token"]}), 404)


def test_what_is_done_to_data_sets_is_in_the_trail(client: httpx.Client) -> None:
    content = npz(**rows())
    for _ in range(2):
        ok(upload(client, "mine", content))
    client.delete(f"{DATASETS}/mine")
    entries = ok(client.get("/api/v1/audit"))["items"]
    found = [(entry["action"], entry["object"]) for entry in entries]
    assert found == [("dataset.delete", "mine"), ("dataset.upload", "mine")]
