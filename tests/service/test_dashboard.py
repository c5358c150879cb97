"""The pages as a browser gets them, on both databases."""

import gzip
import html
import json
import re
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.dashboard import words
from service.dashboard.assets import FOREVER
from service.store import Store, events
from shrinknets.wire import JobSpec
from tests.service.actors import WorkerActor, ok
from tests.service.arrays import images, npz

SCRIPT = "<script>alert('x')</script>"


def page(client: TestClient, path: str, *, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return response.text


def addresses(text: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/static/[^"]+)"', text)


def test_without_jobs_the_list_shows_how_to_submit_one(client: TestClient) -> None:
    text = html.unescape(page(client, "/"))
    assert "No job yet" in text
    assert 'with Client("http://testserver") as client:' in text
    assert "shrinknets submit --dataset digits" in text
    assert "<table" not in text


def test_the_data_sets_are_listed_page_by_page(client: TestClient) -> None:
    headers = {"Content-Type": "application/zip"}
    for name in ("mine", "theirs"):
        content = npz(**images())
        ok(client.post(f"/api/v1/datasets?name={name}", content=content, headers=headers))
    text = page(client, "/datasets")
    assert text.index("theirs") < text.index("mine") < text.index("digits")
    assert '<a href="/api/v1/datasets/mine/content">mine</a>' in text
    assert "<td>1×6×6</td>" in text
    assert "anybody" in text
    first = page(client, "/datasets?limit=4")
    rest = re.search(r'<a href="(/datasets\?cursor=[^"]+)"', first)
    assert rest is not None
    assert "digits" in page(client, rest[1])
    assert "breast_cancer" not in page(client, rest[1])


def test_the_python_on_the_empty_page_compiles(client: TestClient) -> None:
    match = re.search("<code>(from .*?)</code>", page(client, "/"), re.DOTALL)
    assert match is not None
    compile(html.unescape(match[1]), "page", "exec")


def test_the_list_shows_each_job_with_its_state_and_progress(
    client: TestClient, worker: WorkerActor
) -> None:
    first = worker.submit(name="first one")
    second = worker.submit(dataset="wine")
    ok(worker.claim())
    worker.finish()
    text = page(client, "/")
    assert text.index(second) < text.index(first)
    assert f'<a href="/jobs/{first}">first one</a>' in text
    assert f'<a href="/jobs/{second}">{second}</a>' in text
    assert '<span class="badge running">running</span>' in text
    assert '<span class="badge queued">queued</span>' in text
    assert '<progress max="2" value="1"' in text
    assert "90.00\N{NO-BREAK SPACE}%" in text


def test_a_long_list_has_pages(client: TestClient, worker: WorkerActor) -> None:
    ids = [worker.submit() for _ in range(3)]
    newest = page(client, "/?limit=2")
    assert ids[0] not in newest
    older = re.search(r'href="(/\?cursor=\d+)" rel="next"', newest)
    assert older is not None
    rest = page(client, older[1])
    assert ids[0] in rest
    assert ids[1] not in rest
    assert "There are no older jobs." in page(client, "/?cursor=1")


def test_a_job_that_waits_says_what_it_waits_for(client: TestClient, worker: WorkerActor) -> None:
    text = page(client, f"/jobs/{worker.submit()}")
    assert "No trial yet: a worker starts them" in text
    assert "No network yet." in text
    assert "data-cancel=" in text
    assert "data-final" not in text


def test_a_job_shows_its_trials_its_frontier_and_where_the_weights_are(
    client: TestClient, worker: WorkerActor
) -> None:
    job_id = worker.submit(name="mine")
    ok(worker.claim("a worker"))
    trial = worker.finish()
    text = page(client, f"/jobs/{job_id}")
    found = ok(client.get(f"/api/v1/jobs/{job_id}/networks"))["items"][0]
    assert "<h1>mine</h1>" in text
    assert "a worker" in text
    assert f'<tr data-key="{trial["id"]}"' in text
    assert "λ 0.01" in text
    link = f"/api/v1/networks/{found['id']}/weights"
    assert f'href="{link}" download' in text
    assert client.get(link).content == b"weights"
    assert "88.00\N{NO-BREAK SPACE}%" in text


def test_the_spec_on_the_page_is_the_one_that_was_submitted(
    client: TestClient, worker: WorkerActor
) -> None:
    job_id = worker.submit(seed=7)
    match = re.search(r"<code>(\{.*?)</code>", page(client, f"/jobs/{job_id}"), re.DOTALL)
    assert match is not None
    submitted = ok(client.get(f"/api/v1/jobs/{job_id}"))["spec"]
    shown = JobSpec.model_validate_json(html.unescape(match[1]))
    assert shown == JobSpec.model_validate(submitted)


def test_a_final_job_can_no_longer_be_cancelled_and_is_not_followed(
    client: TestClient, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    ok(worker.claim())
    ok(worker.release("failed", "out of luck\nat line 3"))
    text = page(client, f"/jobs/{job_id}")
    assert "out of luck\nat line 3" in text
    assert "data-cancel=" not in text
    assert " data-final>" in text


def test_the_stream_goes_on_from_what_the_page_shows(
    client: TestClient, store: Store, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    with store.reading() as tx:
        latest = events.latest_event_id(tx)
    assert latest > 0
    for path in ("/", f"/jobs/{job_id}"):
        assert f'data-after="{latest}"' in page(client, path)


@pytest.mark.parametrize("job_id", ["job-0000000000", "nothing", "%3Cscript%3E", "job-%00"])
def test_an_unknown_job_is_answered_with_a_page(client: TestClient, job_id: str) -> None:
    text = page(client, f"/jobs/{job_id}", status=404)
    assert "There is nothing here" in text
    assert "<script>" not in text


def test_whatever_people_write_is_shown_and_never_run(
    client: TestClient, worker: WorkerActor
) -> None:
    job_id = worker.submit(name=SCRIPT)
    ok(worker.claim(f"worker {SCRIPT}"))
    attempt = ok(worker.start(ok(worker.announce(params={SCRIPT: SCRIPT}))["id"]))
    ok(worker.end(attempt, "failed", reason=SCRIPT))
    texts = [page(client, "/"), page(client, f"/jobs/{job_id}")]
    ok(worker.release("failed", SCRIPT))
    for text in [*texts, page(client, f"/jobs/{job_id}")]:
        assert SCRIPT not in text
        assert html.escape(SCRIPT).replace("&#x27;", "&#39;") in text


def test_pages_run_no_script_and_wear_no_style_of_their_own(
    client: TestClient, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    ok(worker.claim())
    worker.finish()
    for path in ("/", f"/jobs/{job_id}", "/jobs/nothing"):
        text = client.get(path).text
        assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", text) == []
        assert all(" src=" in tag for tag in re.findall("<script[^>]*>", text))
        assert re.findall(r'(?:src|href)="(?:https?:)?//', text) == []


def test_what_pages_load_is_there_for_ever(client: TestClient, worker: WorkerActor) -> None:
    found = addresses(page(client, f"/jobs/{worker.submit()}"))
    assert {Path(address).suffix for address in found} == {".svg", ".css", ".js"}
    for address in found:
        response = client.get(address)
        assert response.status_code == 200, address
        assert response.headers["cache-control"] == FOREVER


def test_scripts_find_the_scripts_that_they_import(client: TestClient) -> None:
    (entry,) = (a for a in addresses(page(client, "/")) if a.endswith("/page.js"))
    for imported in re.findall(r'from "\./(.+?)"', client.get(entry).text):
        response = client.get(entry.replace("page.js", imported))
        assert response.status_code == 200, imported
        assert response.headers["content-type"].startswith("text/javascript")


def test_plotly_is_served_out_of_the_installed_package(
    client: TestClient, worker: WorkerActor
) -> None:
    found = addresses(page(client, f"/jobs/{worker.submit()}"))
    (address,) = (a for a in found if a.endswith("/plotly.min.js"))
    assert version("plotly") in address
    path = Path(str(distribution("plotly").locate_file("plotly/package_data/plotly.min.js")))
    with client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as response:
        packed = b"".join(response.iter_raw())
        assert response.headers["content-encoding"] == "gzip"
    assert len(packed) < path.stat().st_size / 3
    assert gzip.decompress(packed) == path.read_bytes()
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == path.read_bytes()


@pytest.mark.parametrize("name", ["page.js", "..%2Fpages.py", "%2Fetc%2Fpasswd"])
def test_nothing_else_can_be_fetched_as_an_asset(client: TestClient, name: str) -> None:
    assert client.get(f"/static/another-version/{name}").status_code == 404


def test_browsers_that_ask_for_an_icon_get_one(client: TestClient) -> None:
    response = client.get("/favicon.ico")
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/svg+xml"


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (245, "4 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations_are_told_at_a_glance(duration: float, shown: str) -> None:
    assert words.seconds(duration) == shown


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({}, "–"),
        ({"lam": 0.0031234}, "λ 0.00312"),
        ({"depth": 2, "width_0": 35, "width_1": 48, "l2": 1e-6}, "widths 35-48, L2 1e-06"),
        ({"depth": 1, "width_0": 9, "width_2": 5}, "widths 9-5, depth 1"),
        ({f"width_{layer}": layer for layer in (10, 9, 0)}, "widths 0-9-10"),
        ({"width_x": 3}, "width_x 3"),
    ],
)
def test_what_was_proposed_is_told_in_few_words(params: dict[str, Any], shown: str) -> None:
    assert words.params(params) == shown


def test_the_api_description_does_not_list_pages(client: TestClient) -> None:
    paths = json.loads(client.get("/openapi.json").content)["paths"]
    assert all(path.startswith(("/api/", "/healthz", "/readyz", "/metrics")) for path in paths)


def test_a_trial_shows_its_log_and_its_files(client: TestClient, worker: WorkerActor) -> None:
    job_id = worker.submit()
    ok(worker.claim())
    attempt = worker.begin()
    batch = {"offset": 0, "text": f"epoch 1\n{SCRIPT}\n"}
    ok(worker.post(f"/attempts/{attempt['id']}/logs", attempt["token"], batch))
    trial_id = attempt["trial"]["id"]
    path = f"/jobs/{job_id}/trials/{trial_id}"
    assert f'href="{path}"' in page(client, f"/jobs/{job_id}")
    text = page(client, path)
    assert "epoch 1\n&lt;script&gt;" in text
    assert SCRIPT not in text
    assert f'data-trial="{trial_id}"' in text
    assert "Files" not in text
    ok(worker.end(attempt))
    worker.finish(1)
    (other,) = ok(client.get(f"/api/v1/jobs/{job_id}/networks"))["items"]
    text = page(client, f"/jobs/{job_id}/trials/{other['trial_id']}")
    assert "Nothing so far." in text
    assert f"/artifacts/{other['id']}.safetensors" in text
    page(client, f"/jobs/{job_id}/trials/trial-0000000000", status=404)
    page(client, f"/jobs/{worker.submit()}/trials/{trial_id}", status=404)
