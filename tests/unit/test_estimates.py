"""How long a job's turn is estimated to take."""

from __future__ import annotations

import random

import pytest

from aurora_atlan.actors.estimates import wait_p50_s, wait_p90_s


def test_the_median_is_the_pace_of_those_before_it():
    assert wait_p50_s(12, 0.25) == 3.0
    assert wait_p50_s(0, 0.25) == 0.0


def test_what_is_not_measured_yet_is_no_wait():
    assert wait_p50_s(1_000, 0.0) == wait_p90_s(1_000, 0.0, 0.0) == 0.0


def test_a_steady_pace_leaves_no_doubt():
    assert wait_p90_s(12, 0.25, 0.0) == wait_p50_s(12, 0.25)


def test_nine_of_ten_wait_no_longer_than_they_are_told():
    """Where each batch's pace is normally distributed about a mean, and one slow batch means that all are slow."""
    chance = random.Random(1)
    paces = [chance.gauss(10.0, 2.0) for _ in range(20_000)]
    mean = sum(paces) / len(paces)
    jitter = sum(abs(pace - mean) for pace in paces) / len(paces)

    told = wait_p90_s(40, mean, jitter)

    assert sum(40 * pace <= told for pace in paces) / len(paces) == pytest.approx(0.9, abs=0.01)
