"""The backup that docs/operations.md describes, done with its own commands, and restored."""

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.service.actors import WorkerActor, ok
from tests.service.processes import ServiceProcess

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"


def documented(name: str) -> str:
    """The shell commands below a comment of this name."""
    blocks = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if block.startswith(f"# {name}\n")]
    return found


def run(script: str, **variables: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, **variables}
    subprocess.run(["bash", "-eu", "-c", script], env=environment, check=True, timeout=60)


@pytest.mark.slow
def test_a_backup_of_a_running_service_is_a_whole_service(tmp_path: Path) -> None:
    data, backup, restored = (tmp_path / name for name in ("data", "backup", "restored"))
    with ServiceProcess(data) as process, process.client() as client:
        worker = WorkerActor(client)
        job_id = worker.submit(name="kept")
        worker.claim()
        worker.finish(0, weights=b"the weights")
        is_over = threading.Event()

        def write() -> None:
            with process.client() as other:
                while not is_over.is_set():
                    WorkerActor(other).submit()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            run(documented("backup"), DATA=str(data), BACKUP=str(backup))
        finally:
            is_over.set()
            writer.join()
        ok(worker.release("succeeded"))
    run(documented("restore"), BACKUP=str(backup), DATA=str(restored))
    shutil.rmtree(data)
    with ServiceProcess(restored) as process, process.client() as client:
        job = ok(client.get(f"/api/v1/jobs/{job_id}"))
        assert (job["spec"]["name"], job["progress"]["ended"]) == ("kept", 1)
        (found,) = ok(client.get(f"/api/v1/jobs/{job_id}/networks"))["items"]
        assert client.get(f"/api/v1/networks/{found['id']}/weights").content == b"the weights"
        assert ok(client.get("/readyz"))["status"] == "ok"
        # The job ran when the backup was made, so it waits for its worker's lease to run out, as
        # after any restart; the service takes new work at once.
        assert job["state"] == "running"
        assert WorkerActor(client).submit()
