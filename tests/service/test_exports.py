"""Networks in other formats: handed in, listed, downloaded, refused, and deleted with their job."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from service.artifacts import Artifacts, Spool
from service.errors import StorageFullError
from service.store import Store
from service.store.tables import artifacts, exports
from tests.service.actors import WorkerActor, network, ok, problem, sha256

ONNX, PT2 = b"an onnx model", bytes(range(100))
DESCRIPTION = {"format": "shrinknets-network/1", "family": "mlp", "widths": [12, 7]}


def safetensors(description: Any) -> bytes:
    header = json.dumps({"__metadata__": {"shrinknets": json.dumps(description)}}).encode()
    return struct.pack("<Q", len(header)) + header


WEIGHTS = safetensors(DESCRIPTION)


def exported(content: bytes, form: str) -> dict[str, Any]:
    return {"format": form, "sha256": sha256(content), "bytes": len(content)}


@pytest.fixture
def network_id(client: httpx.Client, worker: WorkerActor) -> str:
    """A network that was exported to .pt2, but not to ONNX."""
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.upload(attempt, WEIGHTS))
    ok(worker.upload(attempt, PT2))
    failed = {"format": "onnx", "reason": "No module named 'onnxscript'"}
    found = network(WEIGHTS, exports=[exported(PT2, "pt2"), failed])
    ok(worker.end(attempt, networks=[found, network(WEIGHTS, parameters=5000)]))
    networks = ok(client.get(f"/api/v1/jobs/{worker.job_id}/networks"))["items"]
    assert [len(one["exports"]) for one in networks] == [2, 0]
    return str(networks[0]["id"])


def test_an_export_is_downloaded_in_whole_and_in_part(
    client: httpx.Client, network_id: str
) -> None:
    path = f"/api/v1/networks/{network_id}/pt2"
    answer = client.get(path)
    assert (answer.status_code, answer.content) == (200, PT2)
    assert answer.headers["content-disposition"] == f'attachment; filename="{network_id}.pt2"'
    assert answer.headers["etag"] == f'"{sha256(PT2)}"'
    part = client.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, PT2[10:20])
    assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    other = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert client.get(path, headers=other).status_code == 200
    problem(client.get(path, headers={"Range": "bytes=100-"}), 416)


def test_the_architecture_is_read_from_the_weights(client: httpx.Client, network_id: str) -> None:
    path = f"/api/v1/networks/{network_id}/architecture"
    answer = client.get(path)
    assert ok(answer) == DESCRIPTION
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"].endswith(f'"{network_id}.json"')
    etag = {"If-None-Match": answer.headers["etag"]}
    assert client.get(path, headers=etag).status_code == 304
    part = client.get(path, headers={"Range": "bytes=0-0"})
    assert (part.status_code, part.content) == (206, b"{")


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"not safetensors at all",
        b"\xff" * 20,
        struct.pack("<Q", 4) + b"[1]]",
        struct.pack("<Q", 2**62),
        safetensors([1]),
        struct.pack("<Q", 30) + b'{"__metadata__": {"shrinknets"',
    ],
)
def test_a_file_without_description_has_no_architecture(
    client: httpx.Client, worker: WorkerActor, weights: bytes
) -> None:
    job_id = worker.submit()
    worker.claim()
    worker.finish(weights=weights)
    (found,) = ok(client.get(f"/api/v1/jobs/{job_id}/networks"))["items"]
    answer = client.get(f"/api/v1/networks/{found['id']}/architecture")
    assert "ask for /weights" in problem(answer, 404)["detail"]


def test_who_asks_for_what_was_not_exported_is_told_how_or_why(
    client: httpx.Client, network_id: str, worker: WorkerActor
) -> None:
    detail = problem(client.get(f"/api/v1/networks/{network_id}/onnx"), 404)["detail"]
    assert "No module named 'onnxscript'" in detail
    other = ok(client.get(f"/api/v1/jobs/{worker.job_id}/networks"))["items"][1]["id"]
    detail = problem(client.get(f"/api/v1/networks/{other}/onnx"), 404)["detail"]
    assert '"exports": ["onnx"]' in detail
    for form in ("onnx", "pt2", "architecture", "weights"):
        problem(client.get(f"/api/v1/networks/net-0000000000/{form}"), 404)


def test_the_files_of_a_trial_are_listed_and_downloaded(
    client: httpx.Client, network_id: str
) -> None:
    trial_id = ok(client.get(f"/api/v1/networks/{network_id}"))["trial_id"]
    path = f"/api/v1/trials/{trial_id}/artifacts"
    found = ok(client.get(path))["items"]
    assert [one["kind"] for one in found] == ["weights", "pt2", "weights"]
    assert found[1]["name"] == f"{network_id}.pt2"
    assert (found[1]["bytes"], found[1]["sha256"]) == (100, sha256(PT2))
    assert found[1]["content_type"] == "application/octet-stream"
    for one in found:
        content = client.get(f"{path}/{one['name']}").content
        assert sha256(content) == one["sha256"]
    problem(client.get(f"{path}/{network_id}.onnx"), 404)
    problem(client.get(f"{path}/anything"), 422)


@pytest.mark.parametrize(
    "wrong",
    [
        [{"format": "onnx"}],
        [{"format": "onnx", "reason": "x", "sha256": "0" * 64}],
        [{"format": "exe", "reason": "x"}],
        [{"format": "onnx", "reason": "x"}, {"format": "onnx", "reason": "y"}],
    ],
)
def test_wrong_exports_are_refused(worker: WorkerActor, wrong: Any) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.upload(attempt, WEIGHTS))
    assert problem(worker.end(attempt, networks=[network(WEIGHTS, exports=wrong)]), 422)["errors"]


def test_an_export_that_was_not_handed_in_is_named(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.upload(attempt, WEIGHTS))
    found = network(WEIGHTS, exports=[exported(ONNX, "onnx")])
    (error,) = problem(worker.end(attempt, networks=[found]), 422)["errors"]
    assert error["field"] == "networks.0.exports.0.sha256"


@pytest.mark.parametrize("wrong", [["tflite"], ["onnx", "onnx"], "onnx", {"onnx": True}, [None], 7])
def test_wrong_formats_in_a_submission_are_named(client: httpx.Client, wrong: Any) -> None:
    body = {"dataset": "digits", "methods": {"path": {}}, "exports": wrong}
    (error, *_) = problem(client.post("/api/v1/jobs", json=body), 422)["errors"]
    assert error["field"].startswith("exports")


def test_exports_go_with_their_job_and_files_that_others_have_stay(
    client: httpx.Client, store: Store, worker: WorkerActor, network_id: str
) -> None:
    first = worker.job_id
    worker.release("succeeded")
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.upload(attempt, ONNX))
    # The same bytes as the other job's .pt2 file.
    found = [network(ONNX, exports=[exported(PT2, "pt2")])]
    ok(worker.end(attempt, networks=found))
    worker.release("succeeded")
    second = worker.job_id

    def known() -> set[str]:
        with store.reading() as tx:
            return set(tx.connection.execute(select(artifacts.c.sha256)).scalars())

    assert client.delete(f"/api/v1/jobs/{first}").status_code == 204
    assert known() == {sha256(ONNX), sha256(PT2)}
    (left,) = ok(client.get(f"/api/v1/jobs/{second}/networks"))["items"]
    assert client.get(f"/api/v1/networks/{left['id']}/pt2").content == PT2
    assert client.delete(f"/api/v1/jobs/{second}").status_code == 204
    assert known() == set()
    with store.reading() as tx:
        rows = select(func.count()).select_from(exports)
        assert tx.connection.execute(rows).scalar_one() == 0


def test_a_worker_asks_whether_a_file_is_there(client: httpx.Client, worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    path = f"/api/v1/worker/artifacts/{sha256(ONNX)}"
    headers = {"Lease-Token": attempt["token"]}
    assert client.head(path, headers=headers).status_code == 404
    ok(worker.upload(attempt, ONNX))
    assert client.head(path, headers=headers).status_code == 200
    assert client.head(path, headers={"Lease-Token": "old"}).status_code == 409
    assert client.head(path).status_code == 422


def test_a_file_whose_lease_ran_out_while_it_came_in_is_not_kept(
    live_url: str, tmp_path: Path
) -> None:
    halves = (b"the first half, ", b"the second half")
    digest = sha256(b"".join(halves))
    with httpx.Client(base_url=live_url) as client, httpx.Client(base_url=live_url) as other:
        worker = WorkerActor(other)
        worker.submit()
        worker.claim()
        attempt = worker.begin()

        def slowly() -> Iterator[bytes]:
            yield halves[0]
            time.sleep(0.5)
            ok(worker.end(attempt, "waiting"))
            yield halves[1]

        headers = {"Lease-Token": attempt["token"]}
        path = f"/api/v1/worker/artifacts/{digest}"
        problem(client.put(path, content=slowly(), headers=headers), 409)
    assert not list(tmp_path.rglob(f"{digest}*"))


def test_an_upload_that_breaks_off_leaves_nothing(
    live_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = b"x" * 2**20
    url = httpx.URL(live_url)
    with httpx.Client(base_url=live_url) as client:
        worker = WorkerActor(client)
        worker.submit()
        worker.claim()
        attempt = worker.begin()
        head = (
            f"PUT /api/v1/worker/artifacts/{sha256(content)} HTTP/1.1\r\nHost: {url.host}\r\n"
            f"Lease-Token: {attempt['token']}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        with socket.create_connection((url.host, url.port)) as broken:
            broken.sendall(head.encode() + content[: len(content) // 2])
            time.sleep(0.5)
        time.sleep(0.5)
        assert not list(tmp_path.rglob(f"{sha256(content)}*"))
        assert [r for r in caplog.records if r.levelname == "ERROR"] == []
        ok(worker.upload(attempt, content))


def test_a_disk_that_is_full_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Artifacts((tmp_path / "files").as_uri())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.artifacts.shutil.copyfileobj", full)
    with Spool() as spool:
        spool.write(b"content")
        with pytest.raises(StorageFullError, match="No space left"):
            store.put(sha256(b"content"), spool)
    assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []
