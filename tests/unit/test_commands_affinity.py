"""Which core serves."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from aurora_atlan.commands import affinity
from aurora_atlan.commands.affinity import Cores, choose_cores
from aurora_atlan.config import ConfigurationError

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not pin")


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[int]]:
    """A machine on which this process may use the cores 0, 1 and 3; records what it pins itself to."""
    calls: list[frozenset[int]] = []
    mask = {0, 1, 3}

    def pin(_process: int, cores: frozenset[int]) -> None:
        calls.append(frozenset(cores))
        mask.clear()
        mask.update(cores)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(mask))
    monkeypatch.setattr(os, "sched_setaffinity", pin)
    return calls


@pytest.fixture(autouse=True)
def policies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The scheduling policies that this thread had, the last one now."""
    policies = [os.SCHED_OTHER]

    def refuse(_thread: int) -> int:
        raise OSError(38, "Function not implemented")

    # Not every C library can tell.
    monkeypatch.setattr(os, "sched_getscheduler", refuse)
    monkeypatch.setattr(os, "sched_setscheduler", lambda _thread, policy, _parameters: policies.append(policy))
    return policies


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: [90.0, 5.0, 0.0, 50.0])


@pytest.fixture(autouse=True)
def interrupts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What the system tells of interrupts; nothing, unless a test writes it."""
    path = tmp_path / "interrupts"
    monkeypatch.setattr(affinity, "_INTERRUPTS", path)
    return path


@pytest.mark.usefixtures("busy", "pinned")
def test_auto_takes_the_least_busy_core_that_may_be_used():
    assert choose_cores("auto") == Cores(frozenset({0, 1, 3}), frozenset({1}))


@pytest.mark.usefixtures("pinned")
def test_among_equally_busy_cores_the_last_is_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: [0.0, 0.0, 0.0, 0.0])

    assert choose_cores("auto").serving == {3}


@pytest.mark.usefixtures("pinned")
def test_among_idle_cores_the_one_that_devices_interrupt_least_is_taken(
    monkeypatch: pytest.MonkeyPatch, interrupts: Path
):
    """Timers and calls between cores are everybody's, and a core that is off has no column."""
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: [3.0, 0.0, 0.0, 9.0])
    interrupts.write_text(
        "           CPU0       CPU1       CPU3\n"
        " 36:        500          0       2000  PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0\n"
        "  9:          0        700          0  IO-APIC   9-fasteoi   acpi\n"
        "LOC:  900000000          0          0  Local timer interrupts\n"
        "ERR:          7\n"
    )

    assert choose_cores("auto").serving == {0}


@pytest.mark.usefixtures("busy", "pinned")
def test_a_busy_core_is_not_taken_for_the_few_interrupts_it_has(interrupts: Path):
    interrupts.write_text("  CPU0 CPU1 CPU2 CPU3\n 36: 0 8 8 8 disk\n")

    assert choose_cores("auto").serving == {1}


@pytest.mark.usefixtures("pinned")
def test_what_tells_nothing_of_interrupts_is_passed_over(monkeypatch: pytest.MonkeyPatch, interrupts: Path):
    monkeypatch.setattr(psutil, "cpu_percent", lambda **_: [0.0, 0.0, 0.0, 0.0])
    interrupts.write_text("no table\n")
    assert choose_cores("auto").serving == {3}

    # A core was switched off while it was written.
    interrupts.write_text("  CPU0 CPU1 CPU3\n 36: 5 5 9 disk\n 37: 8\n")
    assert choose_cores("auto").serving == {3}


def test_a_single_core_is_not_pinned_to(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {2})

    assert choose_cores("auto") == Cores(frozenset({2}))


@pytest.mark.usefixtures("pinned")
def test_a_core_that_may_not_be_used_is_refused():
    with pytest.raises(ConfigurationError) as caught:
        choose_cores((1, 2))

    assert str(caught.value) == "AURORA_CPU_AFFINITY names core 2, but this process may use 0,1,3"


@pytest.mark.usefixtures("busy")
def test_children_start_elsewhere_and_the_process_is_pinned_after_them(pinned: list[frozenset[int]]):
    cores = choose_cores("auto")

    with cores.elsewhere():
        assert os.sched_getaffinity(0) == {0, 3}
    assert os.sched_getaffinity(0) == {0, 1, 3}
    cores.pin()

    assert pinned == [{0, 3}, {0, 1, 3}, {1}]
    assert cores.describe() == "1 of 0,1,3, embedded servers on 0,3"


def test_when_all_cores_serve_the_children_share_them(pinned: list[frozenset[int]]):
    with choose_cores((0, 1, 3)).elsewhere():
        assert pinned == [{0, 1, 3}]


def test_off_touches_nothing(pinned: list[frozenset[int]]):
    cores = choose_cores("off")
    with cores.elsewhere():
        cores.pin()

    assert pinned == []
    assert cores.describe() == "any of 0,1,3"


@pytest.mark.usefixtures("busy", "pinned")
def test_a_pinned_process_interrupts_nobody_and_its_children_are_as_others(policies: list[int]):
    """A child that is started later, by a thread that is pinned already, too."""
    cores = choose_cores("auto")
    with cores.elsewhere():
        assert policies[-1] == os.SCHED_OTHER
    cores.pin()
    assert policies[-1] == os.SCHED_BATCH

    with cores.elsewhere():
        assert policies[-1] == os.SCHED_OTHER
    assert policies[-1] == os.SCHED_BATCH


@pytest.mark.usefixtures("pinned")
def test_who_is_not_pinned_is_scheduled_as_ever(policies: list[int]):
    Cores(frozenset({0, 1, 3})).pin()

    assert policies == [os.SCHED_OTHER]


@pytest.mark.usefixtures("busy")
def test_a_system_without_the_policy_is_served_on_all_the_same(
    pinned: list[frozenset[int]], monkeypatch: pytest.MonkeyPatch
):
    """Some pin and have no such policy."""
    monkeypatch.delattr(os, "SCHED_BATCH")
    choose_cores("auto").pin()

    assert pinned == [{1}]


@pytest.mark.usefixtures("busy")
def test_a_system_that_does_not_allow_it_is_served_on_all_the_same(
    pinned: list[frozenset[int]], monkeypatch: pytest.MonkeyPatch
):
    """A sandbox may refuse the call."""

    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    choose_cores("auto").pin()

    assert pinned == [{1}]
