"""Nodes that come, go, or are unlike the others."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from clarify_rl.errors import ClarifyError
from clarify_rl.pool import Workers
from clarify_rl.pool.fleet import IDLE_BATCHES
from clarify_rl.pool.ray_pool import RayPool
from clarify_rl.types import Stop
from tests.dialogues import SPEC, play
from tests.ray.test_ray_pool import DIALOGUES, NAPS, PLUGINS, exchanges, meanwhile, settled

pytestmark = pytest.mark.ray


@contextmanager
def node(cluster: Cluster, **options: Any) -> Iterator[Any]:  # Any: Ray's own options, and its node
    """One more node while the block runs, unless the block removes it."""
    added = cluster.add_node(**options)
    try:
        yield added
    finally:
        if added in cluster.list_all_nodes():
            cluster.remove_node(added)
        # Ray may take seconds to see it, and would start actors there until then.
        wait_for(lambda: added.node_id not in [each["NodeID"] for each in ray.nodes() if each["Alive"]])


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_node_lost_in_the_middle_of_a_batch_changes_no_episode(cluster: Cluster) -> None:
    options = {**SPEC.env_options, "user": f"{PLUGINS}:Pauses", "user_options": {"pause_s": 0.4}}
    spec = replace(SPEC, env_options=options)
    dialogues = DIALOGUES * 6
    with node(cluster, num_cpus=1) as lost, closing(RayPool(spec, workers=2)) as pool:
        assert lost.node_id in {member.place.node_id for member in pool._route.fleet.members}

        def busy() -> bool:
            return any(m.flights for m in list(pool._route.fleet.members) if m.place.node_id == lost.node_id)

        def lose() -> None:
            wait_for(busy)
            cluster.remove_node(lost, allow_graceful=False)

        loser = meanwhile(lose)
        found = play(*dialogues, pool=pool)
        loser.join()
        numbers = pool.numbers()
    assert list(map(settled, found)) == list(map(settled, play(*dialogues)))
    # The replacement may start on the node that is gone, until Ray has seen that, and is lost, too.
    assert numbers["pool/lost_actors"] >= 1
    assert (numbers["pool/sent_again"] > 0, numbers["pool/failed"]) == (True, 0)


def test_a_pool_grows_with_its_cluster_refuses_an_odd_node_and_shrinks_when_idle(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    place = {"num_cpus": 1, "resources": {"sandbox": 1}}
    with (
        caplog.at_level(logging.WARNING, "clarify_rl.pool"),
        node(cluster, **place),
        closing(RayPool(NAPS, workers=Workers(1, 3, {"sandbox": 1}))) as pool,
    ):
        stops: set[Stop | None] = set()
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                stops.update(response.stop for response in pool.respond(exchanges(*["0.2"] * 12)))

        worker = meanwhile(work)
        try:
            with node(cluster, **place, env_vars={"CLARIFY_TEST_SAYS": "tier C"}):
                wait_for(lambda: bool(caplog.records))
                assert len(pool._route.fleet.members) == 1
                with node(cluster, **place):
                    wait_for(lambda: len(pool._route.fleet.members) == 2)
                    assert len(pool._route.fleet.members) == 2
                    over.set()
                    worker.join()
                    for _ in range(IDLE_BATCHES + 2):
                        pool.respond(exchanges("0"))
                    assert len(pool._route.fleet.members) == 1
        finally:
            over.set()
            worker.join()
        assert stops == {Stop.NO_CODE}
        assert pool.numbers()["pool/refused_nodes"] == 1
        (record,) = caplog.records
        assert "'tier C', while the others say 'usual'" in record.getMessage()


def test_less_room_than_wanted_is_said_and_no_room_at_all_stops(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        ClarifyError, match=r"each asks for {shed: 1} \(env.worker_resources\), and Ray has {shed: 0} free"
    ):
        RayPool(NAPS, workers=Workers(1, 1, {"shed": 1}), start_s=1.0)
    with (
        node(cluster, num_cpus=1, resources={"shed": 2}),
        closing(RayPool(NAPS, workers=Workers(3, 3, {"shed": 1}))) as pool,
    ):
        assert len(pool._route.fleet.members) == 2
    assert "2 of 3 environment workers found room; 1 join when there is more." in caplog.text
