"""How long until a job's turn, estimated from the pace of the decisions before it."""

from __future__ import annotations

# Nine of ten values of a normal distribution are below its mean and 1.28 standard deviations, and a standard
# deviation is 1.25 mean deviations. That the deviation grows as the position does, and not as its root, errs
# on the long side: what slows one batch down slows down the next ones, too.
_DEVIATIONS_P90 = 1.6


def wait_p50_s(position: int, pace_s: float) -> float:
    """Return the seconds until so many decisions are made, as likely less as more."""
    return position * pace_s


def wait_p90_s(position: int, pace_s: float, jitter_s: float) -> float:
    """Return the seconds within which so many decisions are made in nine of ten cases."""
    return position * (pace_s + _DEVIATIONS_P90 * jitter_s)
