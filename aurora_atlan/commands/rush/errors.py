"""What ends a rush before its verdict."""

from __future__ import annotations


class RushError(Exception):
    """The rush cannot be prepared or finished; one sentence for the person who started it."""


class ServiceGoneError(RushError):
    """The service did not answer for as long as one was ready to wait."""


def alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first RushError of tasks that failed together, or the group when it has none.

    For a plain ``except``: what is raised in an ``except*`` arrives in another group before Python 3.11.4.
    """
    ours = group.subgroup(RushError)
    return group if ours is None else ours.exceptions[0]
