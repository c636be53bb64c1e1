"""A run on a Ray cluster of several nodes, on this machine."""

import os
import warnings
from pathlib import Path

import pytest

from codeact.errors import ConfigError
from codeact.evals.folder import RunFolder
from codeact.evals.plan import Plan
from codeact.evals.runner import begin, resume
from codeact.loop import Cancel
from codeact.trajectory import Stop, load

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = [
    # Ray's own: it leaves files to the collector, and warns of its future.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning",
                               "ignore::FutureWarning", "ignore::DeprecationWarning"),
]


_HERE = "127.0.0.2"
"""Ray takes 127.0.0.1 for a word that means the machine's outer address."""


@pytest.fixture(scope="module")
def cluster():
    """A head without processors, for the driver; nodes are added by the tests."""
    before = dict(os.environ)
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, before.get("PYTHONPATH"))))
    os.environ |= {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "node_ip_address": _HERE})
        ray.init(address=made.address, _node_ip_address=_HERE, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()
    os.environ.clear()
    os.environ |= before


@pytest.fixture(scope="module")
def nodes(cluster):
    return [cluster.add_node(num_cpus=2, node_ip_address=_HERE) for _ in range(2)]


def plan(model="right", n=6, **more):
    return Plan("toys.sums", (f"toys.adder:{model}",), options={"n": n}, sandbox="none", **more)


def test_a_cluster_gives_the_same_files_as_threads(cluster, nodes, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    begin(tmp_path / "ray", plan(formats=("code", "native")), runner="ray", n_parallel=4)
    begin(tmp_path / "threads", plan(formats=("code", "native")), n_parallel=2)

    def kept(name):
        return sorted((t.about["task"], t.about["format"], t.stop, t.about["verdicts"]["exact"], [turn.completion.text for turn in t.turns],
                       [turn.observation.text for turn in t.turns]) for t in load(tmp_path / name / "trajectories.jsonl"))

    assert len(kept("ray")) == 12
    assert kept("ray") == kept("threads")
    assert RunFolder.open(tmp_path / "ray").manifest["runner"] == "ray"


def test_a_run_on_a_cluster_is_stopped_and_resumed(cluster, nodes, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    cancel = Cancel()
    progress = begin(tmp_path / "run", plan("slow:0.2", n=10), runner="ray", n_parallel=3, cancel=cancel,
                     on_progress=lambda p: p.n_done == 2 and cancel.set())
    assert progress.stop is Stop.CANCELLED
    assert progress.n_done < 10
    assert resume(tmp_path / "run", runner="threads", n_parallel=4).n_done == 10


def test_what_a_worker_cannot_have_is_a_clear_error(cluster, nodes, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(ConfigError, match=r"no module 'toys.nothing'"):
        begin(tmp_path / "run", Plan("toys.nothing", ("toys.adder",)), runner="ray")


# The last one here: a node is gone after it.
def test_a_node_killed_in_the_middle_loses_nothing(cluster, nodes, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def kill_one(progress):
        if progress.n_done == 3:
            cluster.remove_node(nodes[0], allow_graceful=False)

    progress = begin(tmp_path / "run", plan("slow:0.3", n=14), runner="ray", n_parallel=4, on_progress=kill_one)
    assert (progress.n_done, progress.n_failed, progress.n_right["code"]) == (14, 0, 14)
    assert len({t.about["task"] for t in load(tmp_path / "run" / "trajectories.jsonl")}) == 14
