"""The command that trains one trial, started by hand or by an engine."""

import logging
import os
import sys
from functools import partial

from worker.errors import EnvironmentVariableError, LeaseLostError, ServiceUnreachableError
from worker.leases import AttemptLease
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.trial.dataset_cache import DatasetCache
from worker.trial.environment import TrialEnvironment
from worker.trial.exit_codes import ExitCode
from worker.trial.machine import set_up
from worker.trial.reporter import GRACE_SECONDS
from worker.trial.run import run_attempt
from worker.trial.training import train


def main() -> int:
    """Train the attempt that the environment names; returns the exit code.

    SIGTERM is heard after an epoch, with a last checkpoint; before the first one it keeps its
    default action.
    """
    # Its output is the trial's log. Each request and each step of an export would drown all else.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    for talkative in ("httpx", "onnxscript", "onnx_ir"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    try:
        environment = TrialEnvironment.read(os.environ)
    except EnvironmentVariableError as error:
        return _explained(ExitCode.BAD_ENVIRONMENT, str(error))
    device = set_up(environment)
    with ServiceClient(environment.url, patience=Patience(seconds=GRACE_SECONDS)) as client:
        lease = AttemptLease(client, environment.attempt_id, environment.token)
        try:
            files = DatasetCache(environment.cache, fetch=lease.fetch_dataset)
            parts = environment.micro_batches
            training = partial(
                train,
                files=files,
                device=device,
                micro_batches=parts,
                fetch_network=lease.fetch_network,
            )
            return run_attempt(
                lease,
                give_up=_give_up,
                train=training,
                checkpoint_seconds=environment.checkpoint_seconds,
                micro_batches=parts,
            )
        except LeaseLostError as error:
            return _explained(ExitCode.LEASE_LOST, str(error))
        except ServiceUnreachableError as error:
            return _explained(ExitCode.SERVICE_AWAY, str(error))
        except MemoryError as error:
            return _explained(ExitCode.OUT_OF_MEMORY, f"memory ran out: {error}")


def _give_up(code: ExitCode, reason: str) -> None:
    """End the process at once, whatever its main thread is doing."""
    os._exit(_explained(code, reason))


def _explained(code: ExitCode, reason: str) -> ExitCode:
    sys.stderr.write(f"worker.trial: {reason}\n")
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    sys.exit(main())
