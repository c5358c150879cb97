"""What the holder of a job, and the process of an attempt, may ask the service and tell it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

import httpx
from pydantic import BaseModel

from shrinknets.wire import (
    Attempt,
    AttemptEnd,
    Chosen,
    Claim,
    Epochs,
    EpochsRequest,
    Job,
    JobEnd,
    LogBatch,
    LogPlace,
    NewCheckpoint,
    NewEpochs,
    Order,
    Pruning,
    Record,
    RecordBatch,
    Renewal,
    Resumption,
    Spent,
    Trial,
    TrialAssignment,
    TrialRequest,
)
from worker.errors import LeaseLostError, RefusedError
from worker.service_client import WORKER, ServiceClient, read

_OF_NOTHING = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class JobLease:
    """A claimed job: what its driver may ask and tell."""

    client: ServiceClient
    claim: Claim

    def renew(self) -> Order:
        return read(Renewal, self._post(f"/jobs/{self.claim.job.id}/renew")).order

    def announce(self, request: TrialRequest) -> Trial:
        """Create a trial, or get the one that this method and number already have."""
        return read(Trial, self._post(f"/jobs/{self.claim.job.id}/trials", request))

    def read_epochs(self, after: Mapping[str, int]) -> dict[str, Epochs]:
        """What these trials reported after the steps that are known, in one request."""
        asked = EpochsRequest(after=dict(after))
        return read(NewEpochs, self._post(f"/jobs/{self.claim.job.id}/epochs", asked)).trials

    def read_spent(self) -> Spent:
        path = f"{WORKER}/jobs/{self.claim.job.id}/spent"
        return read(Spent, self.client.request("GET", path, token=self.claim.token))

    def prune(self, trial_id: str, reason: str) -> Trial:
        """Ask a running trial to end after the epoch that it is in."""
        return read(Trial, self._post(f"/trials/{trial_id}/prune", Pruning(reason=reason)))

    def choose(self) -> Chosen | None:
        """Have the job's network chosen among those that there are; None where there is none."""
        answer = self._post(f"/jobs/{self.claim.job.id}/choice")
        return None if answer.status_code == httpx.codes.NO_CONTENT else read(Chosen, answer)

    def start_attempt(self, trial_id: str) -> Attempt:
        """Move a waiting trial to running; LeaseLostError also when it is not waiting."""
        return read(Attempt, self._post(f"/trials/{trial_id}/attempts"))

    def release(self, end: JobEnd) -> Job:
        return read(Job, self._post(f"/jobs/{self.claim.job.id}/release", end))

    def _post(self, path: str, body: BaseModel | None = None) -> httpx.Response:
        return self.client.request("POST", WORKER + path, body=body, token=self.claim.token)


@dataclass(frozen=True)
class AttemptLease:
    """A running attempt: what its process may ask and tell."""

    client: ServiceClient
    attempt_id: str
    token: str

    def get_assignment(self) -> TrialAssignment:
        return read(TrialAssignment, self._call("GET", f"/attempts/{self.attempt_id}"))

    def post_records(self, records: list[Record]) -> Order:
        """Hand in epochs and renew the lease."""
        batch = RecordBatch(records=records)
        return read(
            Renewal, self._call("POST", f"/attempts/{self.attempt_id}/records", batch)
        ).order

    def fetch_dataset(self, target: IO[bytes]) -> None:
        """Write the file of the job's data set to `target`."""
        path = f"{WORKER}/attempts/{self.attempt_id}/dataset"
        self.client.fetch(path, target, token=self.token)

    def add_checkpoint(self, new: NewCheckpoint) -> Order:
        """Let a file that was handed in be the newest checkpoint, and renew the lease."""
        path = f"/attempts/{self.attempt_id}/checkpoints"
        return read(Renewal, self._call("POST", path, new)).order

    def resume(self, step: int) -> Order:
        """Say from which checkpoint this attempt goes on; 0 for none."""
        path = f"/attempts/{self.attempt_id}/resume"
        return read(Renewal, self._call("POST", path, Resumption(step=step))).order

    def fetch_network(self, target: IO[bytes]) -> None:
        """Write the file of the network that the trial starts from to `target`."""
        path = f"{WORKER}/attempts/{self.attempt_id}/network"
        self.client.fetch(path, target, token=self.token)

    def fetch_file(self, sha256: str, target: IO[bytes]) -> None:
        """Write a checkpoint of the trial, or a file that is kept with one, to `target`."""
        path = f"{WORKER}/attempts/{self.attempt_id}/files/{sha256}"
        self.client.fetch(path, target, token=self.token)

    def post_lines(self, batch: LogBatch) -> int:
        """Hand in the next lines of the log; returns the offset at which it goes on."""
        path = f"/attempts/{self.attempt_id}/logs"
        return read(LogPlace, self._call("POST", path, batch)).next

    def upload(self, sha256: str, content: bytes) -> None:
        """Hand in a file, unless the service has it."""
        try:
            self._call("HEAD", f"/artifacts/{sha256}")
        except RefusedError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            self._call("PUT", f"/artifacts/{sha256}", content)

    def is_held(self) -> bool:
        """Whether the service still takes reports; asking does not renew the lease.

        True also of an attempt that another service gave out.
        """
        path = f"/artifacts/{_OF_NOTHING}"
        try:
            self._call("HEAD", path)
        except RefusedError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        except LeaseLostError:
            return not self._is_known()
        return True

    def _is_known(self) -> bool:
        """Of an attempt that is over: whether it was one of this service."""
        try:
            self._call("GET", f"/attempts/{self.attempt_id}")
        except LeaseLostError:
            return True
        except RefusedError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
        return False

    def end(self, end: AttemptEnd) -> Trial:
        return read(Trial, self._call("POST", f"/attempts/{self.attempt_id}/end", end))

    def _call(
        self, method: str, path: str, body: BaseModel | bytes | None = None
    ) -> httpx.Response:
        return self.client.request(method, WORKER + path, body=body, token=self.token)
