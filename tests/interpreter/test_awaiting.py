"""Waiting for a cell from within an event loop, and giving up on it at any moment."""

import threading

import pytest

pytest.importorskip("anyio")

import anyio

from codeact.interpreter.awaiting import run_in_thread


def test_what_comes_of_it_is_returned_or_raised():
    def fail():
        raise ValueError("wrong")

    assert anyio.run(lambda: run_in_thread(lambda: 42, interrupt=pytest.fail)) == 42
    with pytest.raises(ValueError, match="wrong"):
        anyio.run(lambda: run_in_thread(fail, interrupt=pytest.fail))


def test_a_wait_that_is_given_up_interrupts_until_the_work_has_ended():
    begun, stopped, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        assert stopped.wait(60)
        ended.set()

    async def give_up():
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: run_in_thread(work, interrupt=stopped.set))
            await anyio.to_thread.run_sync(begun.wait)
            group.cancel_scope.cancel()
        assert ended.is_set()

    anyio.run(give_up)


@pytest.mark.parametrize("turns", range(8))
def test_one_that_is_given_up_at_any_moment_comes_to_an_end(turns):
    stopped = threading.Event()
    raised: list[BaseException] = []

    async def wait():
        try:
            await run_in_thread(lambda: stopped.wait(60), interrupt=stopped.set)
        except BaseException as error:
            raised.append(error)
            raise

    async def give_up():
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    anyio.run(give_up)
    assert [isinstance(error, Exception) for error in raised] in ([], [False])
