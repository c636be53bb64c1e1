"""Jobs on a Ray cluster: many machines, the same files as result.

    codeact eval m3tooleval --model openai:my-model --base-url http://models:8000/v1 --runner ray -j 64

The driver, which writes the folder, is this process; each worker makes a player of the plan once and does job after
job. A job goes to another worker when its worker or its node dies; what is finished comes back as the text of a
trajectory, and is parsed here. Keys are looked up where the work is done: the workers' environment or settings file
must have them.

RAY_ADDRESS names the cluster ("auto": the one this machine belongs to); without it Ray starts one of this machine.
"""

import json
import os
import secrets
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from codeact.errors import ConfigError, MissingExtra
from codeact.evals.attempt import Outcome, attempt
from codeact.evals.episode import Job
from codeact.evals.plan import Plan, Player
from codeact.events import Observer
from codeact.loop import Cancel
from codeact.trajectory import parse

__all__ = ["RayRunner", "create"]

_LOOK_SECONDS = 0.2


class RayRunner:
    """So many jobs at once, on one processor each, wherever the cluster has them."""

    def __init__(self, n_parallel: int) -> None:
        try:
            import ray
        except ImportError:
            raise MissingExtra("ray", "ray", "the runner 'ray'") from None
        self._ray: Any = ray
        self.n_parallel = n_parallel

    def outcomes(self, plan: Plan, player: Player, jobs: Iterator[Job], *, max_tries: int, observe: Observer,
                 cancel: Cancel) -> Iterator[Outcome]:
        """Do jobs; see `attempt.Runner`."""
        ray = self._ray
        ours = not ray.is_initialized()
        if ours:
            address = os.environ.get("RAY_ADDRESS")
            if not address:
                # One of this machine. Its ports are open to the network, so nobody gets in without a token.
                os.environ.setdefault("RAY_AUTH_MODE", "token")
                os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            here = {} if address else {"_node_ip_address": "127.0.0.1", "include_dashboard": False}
            try:
                ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **here)
            except (ConnectionError, ValueError) as error:
                raise ConfigError(f"cannot reach the Ray cluster: {error}") from None
        work = ray.remote(_work).options(num_cpus=1, max_retries=0)
        text = json.dumps(plan.to_json())
        running: dict[Any, tuple[Job, int]] = {}
        try:
            while not cancel.stop:
                while len(running) < self.n_parallel and (job := next(jobs, None)) is not None:
                    running[work.remote(text, tuple(job), max_tries)] = (job, 1)
                if not running:
                    return
                ready, _ = ray.wait(list(running), timeout=_LOOK_SECONDS)
                for done in ready:
                    job, n_tries = running.pop(done)
                    try:
                        yield _outcome(job, ray.get(done))
                    except ray.exceptions.RayTaskError as error:
                        # The task's own exception; of ours only one comes through: what was asked cannot be done.
                        raise ConfigError(str(error.cause or error)) from None
                    except ray.exceptions.RayError as error:   # a worker or a node has died
                        if n_tries < max_tries:
                            running[work.remote(text, tuple(job), max_tries)] = (job, n_tries + 1)
                        else:
                            yield Outcome(job, error=f"{type(error).__name__}: {error}", n_tries=n_tries)
        finally:
            for one in running:
                ray.cancel(one, force=True)
            if ours:
                ray.shutdown()


def _outcome(job: Job, told: dict[str, Any]) -> Outcome:
    lines = told["lines"]
    return Outcome(job, parse(lines)[0] if lines else None, told["error"], told["n_tries"])


def _work(plan: str, job: tuple[Any, ...], max_tries: int) -> dict[str, Any]:
    """On the worker: plain values in, plain values out."""
    outcome = attempt(_player(plan), Job(*job), max_tries=max_tries, cancel=Cancel())
    lines = list(outcome.trajectory.lines()) if outcome.trajectory else []
    return {"lines": lines, "error": outcome.error, "n_tries": outcome.n_tries}


@lru_cache(maxsize=4)
def _player(plan: str) -> Player:
    return Player(Plan.from_json(json.loads(plan)))


def create(n_parallel: int = 4) -> RayRunner:
    """The runner by name.

    Raises:
        MissingExtra: Ray is not installed.
    """
    return RayRunner(n_parallel)
