"""For schemathesis: makes of what is merely valid something that the service can do.

It takes every valid id for as good as another, gives one time for the beginning and the end of a sale, and repeats
an Idempotency-Key. Everything beyond would be refused, and what the service does otherwise would not be seen.
"""

from __future__ import annotations

import itertools
import os
import uuid
from typing import Any

import schemathesis

# The variable of the environment with the ids of jobs that there are, with commas in between.
JOBS = "LIKELY_JOBS"

_NO_JOB = str(uuid.UUID(int=0))
_NEXT_YEARS = "2100-01-01T00:00:00Z"

_jobs = itertools.cycle(os.environ.get(JOBS, _NO_JOB).split(","))
_numbers = itertools.count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Change a request before it is sent."""
    if case.path_parameters.get("jobId") == _NO_JOB:
        case.path_parameters["jobId"] = next(_jobs)
    body, headers = case.body, case.headers
    if isinstance(body, dict) and isinstance(body.get("closesAt"), str) and body["closesAt"] == body.get("opensAt"):
        # And it can be left open.
        body["closesAt"] = None if case.method == "PUT" and next(_numbers) % 2 else _NEXT_YEARS
    if headers is not None and "Idempotency-Key" in headers and next(_numbers) % 2:
        headers["Idempotency-Key"] = f"{headers['Idempotency-Key']}{next(_numbers)}"
