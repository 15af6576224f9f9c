"""The package as a Ray worker sees it."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from clarify_rl.pool.ray_pool import RayPool
from clarify_rl.registry import load_reward
from tests.dialogues import SPEC

pytestmark = pytest.mark.ray

PLUGINS = Path(__file__).parents[1] / "plugins.py"


def test_a_worker_finds_a_reward_by_its_name_and_can_send_it_back(cluster: Cluster) -> None:
    loaded = ray.get(ray.remote(load_reward).remote("pass_rate", {}), timeout=120)
    assert loaded == load_reward("pass_rate", {})


def test_an_environment_actor_loads_no_heavy_library_but_ray(cluster: Cluster) -> None:
    with closing(RayPool(replace(SPEC, env=f"{PLUGINS}:Frank"), workers=1)) as pool:
        assert pool.describe() == "ray"
