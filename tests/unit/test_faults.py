"""Faults on purpose: written in one line, carried out at their points, and nothing without being asked."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from aurora_atlan.actors.faults import NO_FAULTS, Faults, InjectedError
from aurora_atlan.config import ConfigurationError, Settings
from aurora_atlan.config.faults import FAULT_POINTS, FaultRule, parse_fault_rules


def test_a_line_of_rules_is_read_and_written_alike() -> None:
    text = "before_commit=kill@0.02,after_read=sleep:0.5,on_start=raise,on_stop=exit"

    rules = parse_fault_rules(text)

    assert rules == (
        FaultRule("before_commit", "kill", chance=0.02),
        FaultRule("after_read", "sleep", sleep_s=0.5),
        FaultRule("on_start", "raise"),
        FaultRule("on_stop", "exit"),
    )
    assert ",".join(map(str, rules)) == text


@pytest.mark.parametrize("text", ["", "x", "nowhere=kill", "on_start=explode", "on_start=sleep", "on_start=kill@2"])
def test_a_wrong_rule_is_a_sentence_that_names_the_points(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^AURORA_FAULT_POINTS .*before_enqueue.*sleep:SECONDS"):
        Settings.from_env({"AURORA_FAULT_POINTS": text})


def test_nothing_happens_unless_asked() -> None:
    for point in FAULT_POINTS:
        NO_FAULTS.reach(point)
        Faults(parse_fault_rules("after_read=raise@.0")).reach(point)


def test_a_rule_acts_at_its_own_point() -> None:
    faults = Faults(parse_fault_rules("after_read=raise,on_start=exit,on_stop=sleep:0.02"))

    faults.reach("before_commit")
    with pytest.raises(InjectedError, match="after_read"):
        faults.reach("after_read")
    with pytest.raises(SystemExit):
        faults.reach("on_start")
    started_at = time.monotonic()
    faults.reach("on_stop")
    assert time.monotonic() - started_at >= 0.02


def test_kill_ends_the_process_at_once() -> None:
    program = (
        "from aurora_atlan.actors.faults import Faults\n"
        "from aurora_atlan.config.faults import parse_fault_rules\n"
        "try:\n    Faults(parse_fault_rules('after_lock=kill')).reach('after_lock')\n"
        "finally:\n    print('still here')\n"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ended.returncode == -9
    assert ended.stdout == ""
