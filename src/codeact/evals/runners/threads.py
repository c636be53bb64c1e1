"""Jobs in threads of this process, one interpreter each: what a machine with a model endpoint wants."""

import queue
import threading
from collections.abc import Iterator

from codeact.evals.attempt import Outcome, attempt
from codeact.evals.episode import Job
from codeact.evals.plan import Plan, Player
from codeact.events import Observer
from codeact.loop import Cancel

__all__ = ["Threads", "create"]


class Threads:
    """So many at once."""

    def __init__(self, n_parallel: int) -> None:
        self.n_parallel = n_parallel

    def outcomes(self, plan: Plan, player: Player, jobs: Iterator[Job], *, max_tries: int, observe: Observer,
                 cancel: Cancel) -> Iterator[Outcome]:
        """Do jobs; see `attempt.Runner`."""
        done: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
        taking = threading.Lock()

        def work() -> None:
            try:
                while not cancel.stop:
                    with taking:
                        job = next(jobs, None)
                    if job is None:
                        break
                    done.put(attempt(player, job, max_tries=max_tries, observe=observe, cancel=cancel))
            except BaseException as error:
                done.put(error)
            done.put(None)

        threads = [threading.Thread(target=work, name=f"codeact-eval-{n}", daemon=True) for n in range(self.n_parallel)]
        for thread in threads:
            thread.start()
        n_working = len(threads)
        fault: BaseException | None = None
        while n_working:
            match done.get():
                case None:
                    n_working -= 1
                case Outcome() as outcome:
                    yield outcome
                case error:
                    fault = fault or error
                    cancel.set()
        if fault is not None:
            raise fault


def create(n_parallel: int = 4) -> Threads:
    """The runner by name."""
    return Threads(n_parallel)
