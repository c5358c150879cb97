"""What schemathesis is told: ids and tokens that exist, and which refusals are right.

Loaded by its command line; FUZZING_IDS names a file with what `test_fuzzing.py` has made.
"""

import json
import os
import random
import re
from pathlib import Path
from typing import Any

import schemathesis

from shrinknets.wire import LEASE_HEADER, MAX_WAIT_SECONDS

KNOWN: dict[str, list[str]] = json.loads(Path(os.environ["FUZZING_IDS"]).read_text())
SHARE = 0.6
"""So many of the ids and tokens are replaced by some that exist; the others lead nowhere."""

# Rules about several fields at once, about what is stored, and cursors: no JSON schema has them.
BEYOND_SCHEMAS = re.compile(
    r"cursor: |dataset: got|must not exceed|the least of|unpaired surrogates|at least one"
    r"|the digest of the body|without one the smallest"
)

BY_TOKEN = re.compile("/worker/(attempts|artifacts)/")
AUTHENTICATION = re.compile("required header|without authentication|invalid authentication")

_random = random.Random(1)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Lead to something that exists; chains of requests have real ids of their own."""
    del context, kwargs
    if case.path.endswith("/worker/claim") and isinstance(case.body, dict):
        seconds = case.body.get("wait_seconds")
        if isinstance(seconds, float | int) and 1 < seconds <= MAX_WAIT_SECONDS:
            case.body["wait_seconds"] = 1
    if case.meta is not None and case.meta.phase.name == "stateful":
        return
    for name, value in (case.path_parameters or {}).items():
        known = KNOWN.get(name)
        if known and _random.random() < SHARE and re.fullmatch(r"[\w.-]{1,63}", value):
            case.path_parameters[name] = _random.choice(known)
    if LEASE_HEADER in (case.headers or {}) and _random.random() < SHARE:
        case.headers[LEASE_HEADER] = _random.choice(KNOWN["token"])


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Keep what is a failure of the service."""
    del context
    if re.search(r"\b429\b", failure.message):
        # The fuzzer tries wrong keys by the hundred; to be refused for that is right.
        return False
    if response.status_code == 422 and "Schema-valid" in failure.title:
        return not BEYOND_SCHEMAS.search(response.json()["detail"])
    if BY_TOKEN.search(case.path) and AUTHENTICATION.search(failure.title):
        # Trials show the token of their attempt instead of a key.
        return False
    # An address beside `/jobs/{job_id}`: to the other methods it is the id of no job.
    return not (case.path.endswith("/jobs/compare") and response.status_code == 404)
