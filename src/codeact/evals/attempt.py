"""A job tried until it is done: faults of server, network and interpreter are tried again, the model's never."""

import logging
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from codeact.errors import ConfigError
from codeact.evals.episode import Job
from codeact.evals.plan import Plan, Player
from codeact.events import Observer, ignore
from codeact.loop import Cancel
from codeact.trajectory import Trajectory

__all__ = ["Outcome", "Runner", "attempt"]

_log = logging.getLogger(__name__)
_FIRST_WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    trajectory: Trajectory | None = None
    """None: it was given up, or the run was stopped before it was done."""
    error: str = ""
    """`Type: message`, where it was given up."""
    n_tries: int = 1


class Runner(Protocol):
    """Where jobs are done: `runners/NAME.py`, with `create(n_parallel) -> Runner`."""

    def outcomes(self, plan: Plan, player: Player, jobs: Iterator[Job], *, max_tries: int, observe: Observer,
                 cancel: Cancel) -> Iterator[Outcome]:
        """Do jobs, and say of each what became of it, as soon as it is known.

        Args:
            plan: What another process makes its own player of.
            player: This process's.
            observe: Sees the events of all jobs, from any thread; where they are done elsewhere, none.
            cancel: Once set, what runs is stopped and nothing new begun.

        Raises:
            ConfigError: The plan cannot be done, whatever the job.
        """


def attempt(player: Player, job: Job, *, max_tries: int = 3, observe: Observer = ignore, cancel: Cancel) -> Outcome:
    """Do a job, again where the infrastructure failed.

    Raises:
        ConfigError: It cannot be done, nor can others of its kind.
    """
    for n_tries in range(1, max_tries + 1):
        try:
            trajectory = player.play(job, observe=observe, cancel=cancel)
        except ConfigError:
            raise
        except Exception as error:   # a fault of a suite's tools too must not end a run of thousands
            _log.debug("job %s failed", job, exc_info=True)
            failed = Outcome(job, error=f"{type(error).__name__}: {error}", n_tries=n_tries)
        else:
            stopped = cancel.stop is not None and trajectory.stop is cancel.stop
            return Outcome(job) if stopped else Outcome(job, trajectory, n_tries=n_tries)
        if cancel.stop or n_tries == max_tries:
            return Outcome(job) if cancel.stop else failed
        # Not all at once: what failed for one has often failed for all that ran beside it.
        _wait(_FIRST_WAIT_SECONDS * 2**n_tries * random.uniform(0.5, 1.0), cancel)
    raise ValueError(f"max_tries={max_tries}: it is 1 or more")


def _wait(seconds: float, cancel: Cancel) -> None:
    woken = threading.Event()
    with cancel.calling(woken.set):
        if not cancel.stop:
            woken.wait(seconds)

