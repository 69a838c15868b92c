"""How long accepting and answering take while the service is as busy as one would have it."""

from __future__ import annotations

from benchmarks import plan
from benchmarks.booking import book
from benchmarks.probe import Probe
from benchmarks.results import Sample, percentile
from benchmarks.world import World

# The probe ends before the load does.
_MARGIN_S = 0.5


def half_of_saturation(world: World) -> Sample:
    """Book one event at half the rate that the newest saturation reached, and probe meanwhile."""
    events = world.main.make_events(1, plan.CAPACITY)
    probe = Probe(
        world.service(world.main).url,
        events[0],
        world.crowd.probe_tokens,
        per_s=plan.PROBE_PER_SECOND,
        seconds=world.plan.seconds - _MARGIN_S,
    )

    def beside() -> int:
        probe.run()
        return len(probe.answer_s)

    rate = world.results.last("hot", "accepted_per_s") / 2 - plan.PROBE_PER_SECOND
    sample = book(world, events, rate=rate, beside=beside)
    for failure in probe.failures:
        world.check(False, failure)
    for name, times_s in (("probe", probe.accept_s), ("answer", probe.answer_s)):
        for figure, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            sample[f"{name}_{figure}_ms"] = percentile(times_s, share) * 1000
    return sample
