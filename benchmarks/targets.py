"""What it should reach, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.results import Results

Figure = tuple[str, str]

_FORMATS = {"%": "{:.1%}", "x": "{:.2f} x", "/s": "{:,.0f}/s", "s": "{:.2f} s", "ms": "{:.1f} ms", "MB": "{:,.0f} MB"}


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a scenario, alone or divided by another, and its bound; without one it is only told."""

    text: str
    figure: Figure
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    per: Figure | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target beside what was measured."""

    target: Target
    value: float

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None when it is only told."""
        if self.target.at_least is not None:
            return self.value >= self.target.at_least
        if self.target.at_most is not None:
            return self.value <= self.target.at_most
        return None

    def cells(self) -> tuple[str, str, str, str]:
        """Return the row of the table: what, how much it should be, how much it is, and whether that is met."""
        target = self.target
        bound = ""
        if target.at_least is not None:
            bound = f"at least {_shown(target.at_least, target.unit)}"
        elif target.at_most is not None:
            bound = f"at most {_shown(target.at_most, target.unit)}"
        word = {True: "met", False: "NOT met", None: "told"}[self.met]
        return target.text, bound, _shown(self.value, target.unit), word


def judged(results: Results) -> list[Verdict]:
    """Return the verdict on every target whose figures were measured."""
    found = ((target, _value(results, target)) for target in TARGETS)
    return [Verdict(target, value) for target, value in found if value is not None]


def _value(results: Results, target: Target) -> float | None:
    if target.per is None:
        return results.median(*target.figure)
    return results.ratio(target.figure, target.per)


def _shown(value: float, unit: str) -> str:
    return _FORMATS[unit].format(value)


def _confirmed(scenario: str) -> Figure:
    return scenario, "confirmed_per_s"


def _accepted(scenario: str) -> Figure:
    return scenario, "accepted_per_s"


def _answered(scenario: str) -> Figure:
    return scenario, "requests_per_s"


_BOOKED = (("hot", "Hot event"), ("many", "64 events"), ("zipf", "1,000 events (Zipf)"))

TARGETS = (
    Target("Engine, hot event", _confirmed("engine-hot"), "/s", at_least=10_000),
    Target(
        "Engine, hot event, to one commit per booking",
        _confirmed("engine-hot"),
        "x",
        at_least=10,
        per=_confirmed("one-by-one"),
    ),
    Target("Hot event, confirmed, to bare", _confirmed("hot"), "%", at_least=0.75, per=_answered("bare")),
    Target("Hot event, confirmed, to row locks", _confirmed("hot"), "x", at_least=4.5, per=_answered("rowlock-hot")),
    Target("64 events, confirmed, to bare", _confirmed("many"), "%", at_least=0.75, per=_answered("bare")),
    Target("64 events, confirmed, to row locks", _confirmed("many"), "x", at_least=3, per=_answered("rowlock-many")),
    Target("1,000 events (Zipf), confirmed, to bare", _confirmed("zipf"), "%", at_least=0.6, per=_answered("bare")),
    *(
        Target(f"{title}, confirmed, to bare without tuning", _confirmed(name), "%", per=_answered("bare-untuned"))
        for name, title in _BOOKED
    ),
    *(
        Target(f"{title}, confirmed, to accepted", _confirmed(name), "%", at_least=0.98, per=_accepted(name))
        for name, title in _BOOKED
    ),
    Target("Sell-out, 5,000 buyers: the last answer", ("sellout", "answered_s"), "s", at_most=2),
    Target("Half of the saturation: accepting, p99", ("half", "p99_ms"), "ms", at_most=15),
    Target("Half of the saturation: from accepting to the answer, p99", ("half", "answer_p99_ms"), "ms", at_most=60),
    Target(
        "Hot event, appendfsync always to everysec", _confirmed("hot"), "%", at_least=0.9, per=_confirmed("everysec")
    ),
    Target("Hot event, rate limits on to off", _confirmed("limited"), "%", at_least=0.9, per=_confirmed("usual")),
    Target("Hot event, metrics on to off", _confirmed("usual"), "%", at_least=0.9, per=_confirmed("unmeasured")),
    Target("List of 100 events, to bare", _answered("list"), "%", at_least=0.75, per=_answered("bare")),
    Target("List of 100 events, to a bare GET of two words", _answered("list"), "%", per=_answered("bare-read")),
    Target("One event", _answered("event"), "/s"),
    Target(
        "Time to accept with 100,000 waiting, to nobody",
        _answered("waiting-0"),
        "x",
        at_most=1.2,
        per=_answered("waiting-100000"),
    ),
    Target(
        "Time to tell a waiting job's status with 100,000 waiting, to nobody else",
        ("waiting-0", "status_per_s"),
        "x",
        per=("waiting-100000", "status_per_s"),
    ),
    Target(
        "Engine with 1,000,000 bookings in the ledger, to none",
        _confirmed("ledger-1m"),
        "%",
        at_least=0.9,
        per=_confirmed("ledger-0"),
    ),
    Target("Memory with 10,000 events and 100,000 waiting", ("memory", "rss_mb"), "MB", at_most=400),
)
