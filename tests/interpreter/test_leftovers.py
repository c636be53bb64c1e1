"""What cells leave running is held to each of the session's limits."""

import pytest

from codeact.interpreter.leftovers import Leftovers
from codeact.interpreter.limits import Limits

LIMITS = Limits(memory_mb=100, workspace_mb=10, cpu_seconds=5)
QUIET = {"cpu_seconds": 1.0, "processes": 2, "threads": 1, "memory_kb": 50 << 10, "nameless_kb": 0}


@pytest.mark.parametrize(("more", "disk", "found"), [
    ({}, 0, "within"), ({"memory_kb": 99 << 10}, 0, "within"), ({"memory_kb": 200 << 10}, 0, "over"), ({}, 10 << 20, "within"),
    ({}, 11 << 20, "over"), ({"nameless_kb": 11 << 10}, 0, "over"), ({"nameless_kb": 6 << 10}, 6 << 20, "over")])
def test_memory_and_disk_are_judged_at_each_look(more, disk, found):
    assert Leftovers(LIMITS).judge({**QUIET, **more}, disk) == found


def test_processor_time_counts_from_the_first_look_after_a_cell():
    leftovers = Leftovers(LIMITS)
    assert [leftovers.judge({**QUIET, "cpu_seconds": seconds}, 0) for seconds in (100.0, 104.9, 105.1)] == ["within", "within", "over"]
    leftovers.cell_begins()
    assert leftovers.judge({**QUIET, "cpu_seconds": 110.0}, 0) == "within"


def test_what_has_no_limit_is_never_over():
    none = Leftovers(Limits(memory_mb=None, workspace_mb=None, cpu_seconds=None))
    for seconds in (1.0, 1e6):
        assert none.judge({**QUIET, "cpu_seconds": seconds, "memory_kb": 1 << 40}, 1 << 50) == "within"


def test_nothing_runs_where_two_looks_find_one_process_that_takes_no_time():
    leftovers = Leftovers(LIMITS)
    alone = {**QUIET, "processes": 1}
    assert [leftovers.judge(alone, 0) for _ in range(3)] == ["within", "within", "none"]
    busy = [leftovers.judge({**alone, "cpu_seconds": 2.0 + n}, 0) for n in range(3)]
    assert busy == ["within"] * 3
