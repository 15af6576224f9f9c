"""The package's layout as a Ray worker sees it."""

from collections.abc import Iterator

import pytest
import ray

from clarify_rl.registry import load_reward

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_a_worker_finds_a_reward_by_its_name_and_can_send_it_back(local_ray: None) -> None:
    loaded = ray.get(ray.remote(load_reward).remote("pass_rate", {}), timeout=120)
    assert loaded == load_reward("pass_rate", {})
