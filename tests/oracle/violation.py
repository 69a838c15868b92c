"""What the checker finds, and how much of it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

# One broken promise usually breaks in a thousand rows; these are enough to see how.
_EXAMPLES_MAX = 5


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken: which, and where."""

    # "I1" to "I11" of the table of invariants.
    invariant: str
    sentence: str


def examples(invariant: str, sentences: Iterable[str]) -> Iterator[Violation]:
    """Give the first sentences as violations, and the number of those left out as another."""
    remaining = iter(sentences)
    for sentence in islice(remaining, _EXAMPLES_MAX):
        yield Violation(invariant, sentence)
    left_out = sum(1 for _ in remaining)
    if left_out:
        yield Violation(invariant, f"and {left_out} more of the same kind")
