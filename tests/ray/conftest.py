"""One local Ray for all tests here: starting one takes longer than most of them."""

import os
import sys
from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster

_STATUS: list[int] = []  # of a session in which a Ray was started in this process


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A Ray of one node, to which a test may add more; those it added are gone after it."""
    quick = {
        "metrics_report_interval_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_initial_delay_ms": 500,
        "worker_niceness": 0,  # tests hold beside busy processes, which are not nice
    }
    head = {"num_cpus": 2, "include_dashboard": False, "_system_config": quick}
    started = Cluster(initialize_head=True, head_node_args=head)
    try:
        ray.init(address=started.address, log_to_driver=False)
        yield started
    finally:
        ray.shutdown()
        started.shutdown()
        _STATUS.append(0)


def pytest_sessionfinish(exitstatus: int) -> None:
    if _STATUS:
        _STATUS.append(int(exitstatus))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Leaves without the interpreter's last steps, during which native threads of Ray's may still run.

    One of them ended a process with a segmentation fault after all tests had passed and Ray was shut down.
    """
    if _STATUS and not hasattr(config, "workerinput"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_STATUS[-1])
