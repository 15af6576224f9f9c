"""The pool on Ray actors: the same results as in one process, whatever happens to an actor."""

import os
import signal
import subprocess
import sys
import threading
import time
import types
import urllib.request
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from clarify_rl.errors import ClarifyError
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec, make_pool
from clarify_rl.pool.fleet import Member
from clarify_rl.pool.ray_pool import RayPool
from clarify_rl.types import Episode, Exchange, Reply, ReplyKind, Score, Stop
from tests.dialogues import ASK, CLEAR, CRASH, DESC, SPEC, UNCLEAR, play

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

PLUGINS = Path(__file__).parents[1] / "plugins.py"
DIALOGUES = ((UNCLEAR, [ASK, DESC]), (CLEAR, [DESC]), (CLEAR, [CRASH]), (UNCLEAR, ["Why?", ""]), (UNCLEAR, [DESC]))
NAPS = PoolSpec(f"{PLUGINS}:Naps")


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    return play(*DIALOGUES)


def settled(episode: Episode) -> Episode:
    """The episode without what a clock measured."""
    execution = episode.execution and replace(episode.execution, cpu_s=0.0, wall_s=0.0)
    return replace(episode, execution=execution)


def with_reward(name: str, **options: object) -> PoolSpec:
    return PoolSpec("ask_or_code", {}, (RewardSpec(f"{PLUGINS}:{name}", 1.0, options),))


def numbered(episode: Episode, count: int) -> list[Episode]:
    return [replace(episode, id=f"e{i}") for i in range(count)]


def exchanges(*texts: str) -> list[Exchange]:
    return [Exchange(CLEAR, (), Reply(text, ReplyKind.OTHER), False, 0, f"e{i}") for i, text in enumerate(texts)]


def at_work(pool: RayPool) -> list[Member]:
    """Members that work on something for the first time."""
    members = list(pool._route.fleet.members)
    return [m for m in members if m.flights and not any(flight.chunk.again for flight in list(m.flights))]


def meanwhile(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_actors_give_the_same_episodes_as_this_process(episodes: list[Episode]) -> None:
    with closing(make_pool(SPEC, workers=2)) as pool:
        assert isinstance(pool, RayPool)
        assert list(map(settled, play(*DIALOGUES, pool=pool))) == list(map(settled, episodes))


def test_actors_killed_while_they_work_change_no_episode() -> None:
    options = {**SPEC.env_options, "user": f"{PLUGINS}:Pauses", "user_options": {"pause_s": 0.4}}
    spec, dialogues = replace(SPEC, env_options=options), DIALOGUES * 4
    with closing(RayPool(spec, workers=2)) as pool:
        killed: list[int] = []

        def kill_two() -> None:
            deadline = time.monotonic() + 30.0
            while len(killed) < 2 and time.monotonic() < deadline:
                time.sleep(0.2)
                for member in at_work(pool)[:1]:
                    if member.place.pid not in killed:
                        os.kill(member.place.pid, signal.SIGKILL)
                        killed.append(member.place.pid)

        killer = meanwhile(kill_two)
        found = play(*dialogues, pool=pool)
        killer.join()
        numbers = pool.numbers()
    assert list(map(settled, found)) == list(map(settled, play(*dialogues)))
    assert (len(killed), numbers["pool/lost_actors"], numbers["pool/failed"]) == (2, 2, 0)
    assert numbers["pool/sent_again"] > 0


def test_results_keep_the_order_of_many_items(episodes: list[Episode]) -> None:
    many = [episodes[i % len(episodes)] for i in range(201)]
    with closing(RayPool(SPEC, workers=2)) as pool, closing(LocalPool(SPEC)) as local:
        assert pool.score(many) == local.score(many)
        assert pool.score([]) == []


def test_a_users_reward_file_works_on_the_actors(episodes: list[Episode], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def length(episode):\n    return len(episode.turns)\n")
    spec = PoolSpec(rewards=(RewardSpec(f"{file}:length", 0.5), RewardSpec(f"{PLUGINS}:raises")))
    with closing(RayPool(spec, workers=1)) as pool:
        (first, odd), (second, _) = pool.score(episodes[:2])
    assert (first, second) == (Score("length", 2.0, 0.5), Score("length", 1.0, 0.5))
    assert odd.value is None and "raises raised KeyError: 'no such column'" in odd.why


def test_an_episode_that_kills_every_actor_costs_only_its_own_score(episodes: list[Episode]) -> None:
    with closing(RayPool(with_reward("Dies", episode="e5"), workers=1)) as pool:
        scores = pool.score(numbered(episodes[0], 12))
        assert [i for i, (score,) in enumerate(scores) if score.value is None] == [5]
        assert f"{PLUGINS}:Dies lost its worker twice for episode e5, the second time alone on" in scores[5][0].why
        assert pool.numbers()["pool/failed"] == 1
        assert pool.score(numbered(episodes[0], 3)) == [(Score("Dies", 1.0),)] * 3


def test_an_item_is_not_blamed_for_a_worker_that_died_before_it_came() -> None:
    """As when a node is lost: its workers die together, and only those that have something to do are missed."""
    with closing(RayPool(NAPS, workers=3)) as pool:

        def kill_all_but_one() -> None:
            deadline = time.monotonic() + 30.0
            while not at_work(pool) and time.monotonic() < deadline:
                time.sleep(0.01)
            (busy,) = at_work(pool)
            idle = [member for member in pool._route.fleet.members if member is not busy]
            for member in (*idle[:1], busy):
                os.kill(member.place.pid, signal.SIGKILL)

        killer = meanwhile(kill_all_but_one)
        (response,) = pool.respond(exchanges("1"))
        killer.join()
        assert (response.stop, response.failure) == (Stop.NO_CODE, "")
        assert pool.numbers()["pool/failed"] == 0


def test_an_actor_killed_between_batches_is_replaced(episodes: list[Episode]) -> None:
    with closing(RayPool(SPEC, workers=1)) as pool:
        before = pool.score(episodes)
        os.kill(pool._route.fleet.members[0].place.pid, signal.SIGKILL)
        assert pool.score(episodes) == before
        assert pool.numbers()["pool/lost_actors"] == 1


def test_a_hung_environment_costs_only_its_own_episode_and_is_named() -> None:
    spec = replace(NAPS, env_options={"threads": 2})
    with closing(RayPool(spec, workers=1, deadline_s=2.0)) as pool:
        started = time.monotonic()
        first, hung, *others = pool.respond(exchanges("0", "hang", *["0.1"] * 6))
        assert time.monotonic() - started < 300.0  # the environment hangs for an hour
        assert hung.stop is Stop.FAILED
        assert f"environment {PLUGINS}:Naps gave no answer in 2 s for episode e1 on actor " in hung.failure
        assert f"of node {ray.util.get_node_ip_address()}" in hung.failure
        assert {response.stop for response in (first, *others)} == {Stop.NO_CODE}
        assert {response.stop for response in pool.respond(exchanges(*["0"] * 4))} == {Stop.NO_CODE}
        assert (pool.numbers()["pool/failed"], pool.numbers()["pool/failed"]) == (1, 0)


def test_an_actor_that_stands_still_is_replaced_and_its_items_are_done_elsewhere() -> None:
    with closing(RayPool(NAPS, workers=2, deadline_s=1.0)) as pool:
        stopped = pool._route.fleet.members[0].place.pid
        os.kill(stopped, signal.SIGSTOP)
        assert {response.stop for response in pool.respond(exchanges(*["0.1"] * 8))} == {Stop.NO_CODE}
        assert stopped not in [member.place.pid for member in pool._route.fleet.members]


def test_a_response_that_cannot_be_sent_costs_only_itself() -> None:
    with closing(RayPool(PoolSpec(f"{PLUGINS}:Replies"), workers=1)) as pool:
        responses = pool.respond(exchanges("a", "lock", "b"))
        assert [response.stop for response in responses] == [Stop.NO_CODE, Stop.FAILED, Stop.NO_CODE]
        assert "episode e1" in responses[1].failure
        assert "TypeError: it cannot be sent" in responses[1].failure
        assert pool.numbers()["pool/lost_actors"] == 0


def test_a_wrong_option_stops_before_any_episode_and_keeps_its_message() -> None:
    with pytest.raises(ClarifyError, match="Did you mean 'pass_rate'"):
        RayPool(PoolSpec(rewards=(RewardSpec("pas_rate"),)), workers=1)


def test_an_environment_that_is_never_built_is_not_taken_for_a_lack_of_room() -> None:
    spec = PoolSpec(f"{PLUGINS}:Shy", {"build_s": 3600.0})
    with pytest.raises(
        ClarifyError, match=r"1 environment workers have started, but none is ready.*in actor \w+ \(pid"
    ):
        RayPool(spec, workers=1, start_s=8.0)


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """A shell starts what runs in the background with Ctrl-C ignored; then nobody would hear it here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_until(interrupted: threading.Event) -> None:
    """Presses again and again, as one does: Python loses an interrupt that comes in a finalizer."""
    while not interrupted.wait(10.0):
        interrupt_main()


@pytest.mark.usefixtures("hears_interrupts")
def test_after_an_interrupted_batch_the_next_one_does_not_wait_for_its_items() -> None:
    with closing(RayPool(NAPS, workers=1, deadline_s=900.0)) as pool:
        interrupted = threading.Event()
        threading.Thread(target=interrupt_until, args=(interrupted,), daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            pool.respond(exchanges("600"))
        interrupted.set()
        started = time.monotonic()
        assert {response.stop for response in pool.respond(exchanges("0", "0"))} == {Stop.NO_CODE}
        assert time.monotonic() - started < 300.0  # the item that nobody waits for takes 600


def test_what_cannot_reach_a_worker_is_named_by_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package of an option is installed here only."""
    module = types.ModuleType("only_here")
    thing = module.Thing = type("Thing", (), {"__module__": "only_here"})  # type: ignore[attr-defined] # made here
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(ClarifyError, match=r"died 3 times.*ModuleNotFoundError: No module named 'only_here'"):
        RayPool(PoolSpec(f"{PLUGINS}:Shy", {"trouble": thing()}), workers=1)


def test_a_node_that_had_a_worker_is_not_refused_for_a_trouble_that_passes(tmp_path: Path) -> None:
    trouble = tmp_path / "trouble"
    with closing(RayPool(PoolSpec(f"{PLUGINS}:Shy", {"trouble": str(trouble)}), workers=1)) as pool:
        trouble.touch()
        os.kill(pool._route.fleet.members[0].place.pid, signal.SIGKILL)
        passes = threading.Timer(4.0, trouble.unlink)
        passes.start()
        assert {response.stop for response in pool.respond(exchanges("0", "0"))} == {Stop.NO_CODE}
        assert (pool.numbers()["pool/refused_nodes"], trouble.exists()) == (0, False)


def test_a_sigterm_ends_the_driver_in_order() -> None:
    program = (
        "from clarify_rl.pool import PoolSpec\n"
        "from clarify_rl.pool.ray_pool import RayPool\n"
        "from tests.ray.test_ray_pool import exchanges\n"
        f"pool = RayPool(PoolSpec({f'{PLUGINS}:Naps'!r}), workers=1)\n"
        "print('open', flush=True)\n"
        "try:\n"
        "    pool.respond(exchanges('60'))\n"
        "except KeyboardInterrupt:\n"
        "    pool.close()\n"
        "    print('closed')\n"
    )
    env = {**os.environ, "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    with subprocess.Popen([sys.executable, "-c", program], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "open\n"
        time.sleep(1.0)
        process.terminate()
        assert process.communicate(timeout=30)[0] == "closed\n"
        assert process.returncode == 0


def test_workers_of_a_local_ray_get_as_much_of_a_busy_machine_as_their_driver() -> None:
    program = (
        "import os\n"
        "import ray\n"
        "from clarify_rl.pool.connection import join_ray, leave_ray\n"
        "join_ray({'CPU': 1})\n"
        "print(ray.get(ray.remote(lambda: os.nice(0)).remote()) - os.nice(0))\n"
        "leave_ray()\n"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_worker_niceness")}
    ran = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=300)
    assert ran.stdout == "0\n", ran.stderr


def test_two_pools_of_one_process_share_a_local_ray_until_the_last_is_closed() -> None:
    program = (
        "import ray\n"
        "from clarify_rl.pool import PoolSpec, Workers\n"
        "from clarify_rl.pool.ray_pool import RayPool\n"
        f"spec = PoolSpec({f'{PLUGINS}:Naps'!r})\n"
        "first = RayPool(spec, workers=Workers(1, 3, {'sandbox': 1}))\n"
        "second = RayPool(spec, workers=Workers(1, 1, {'sandbox': 1}))\n"
        "first.close()\n"
        "print(second.respond([]), len(ray.nodes()), ray.cluster_resources()['sandbox'])\n"
        "second.close()\n"
        "print(ray.is_initialized())\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[] 1 3.0\nFalse\n", done.stderr


def test_a_pool_leaves_a_ray_that_it_did_not_start() -> None:
    RayPool(NAPS, workers=1).close()
    assert ray.is_initialized()


def test_what_a_pool_counts_reaches_rays_dashboard() -> None:
    with closing(RayPool(NAPS, workers=1)) as pool:
        pool.respond(exchanges("0", "0", "0"))
        (head,) = [node for node in ray.nodes() if node["Alive"]]
        url = f"http://{head['NodeManagerAddress']}:{head['MetricsExportPort']}/metrics"
        wanted = ("clarify_exchanges", "clarify_actors", "clarify_respond_seconds_bucket")
        deadline = time.monotonic() + 30.0
        while missing := [name for name in wanted if f"ray_{name}" not in _page(url)]:
            assert time.monotonic() < deadline, f"{url} has no {missing}"
            time.sleep(0.5)


def _page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10.0) as page:
        return str(page.read(), "utf-8")
