"""What the runner takes for mere slowness, and what for a broken promise."""

from __future__ import annotations

import pytest

from faults.row import Row
from faults.runner import Result

_ROW = Row("a-row", "a fault", "it passes", 1, 1, lambda _stage: None)


@pytest.mark.parametrize(
    ("problems", "only_slow"),
    [
        ([], False),
        (["first commit took 3.20 s, 3 s are allowed"], True),
        (["not within 20 s: 30 more clients have their answer"], True),
        (["I7: not within 10 s: the queues are empty", "the stop took 21.0 s, 20 s are allowed"], True),
        (["I10: 2.1 s after redis went away /readyz still called it well"], True),
        (["first commit took 3.20 s, 3 s are allowed\nI6: 1 accepted job has no outcome"], False),
        (["I1: event 3 has 11 sold of 10"], False),
        (["a job was decided although somebody else holds the row"], False),
        (["KeyError: 3"], False),
        (["nothing moved for 90 s"], False),
    ],
)
def test_only_time_may_be_tried_again(problems: list[str], *, only_slow: bool) -> None:
    assert Result(_ROW, 1, problems=problems).only_slow is only_slow
