"""How many replies a second environments on Ray react to, with slow users: real actors, then a simulated cluster.

    python benchmarks/env_scaling.py real        # 1 to 16 actors of a local Ray
    python benchmarks/env_scaling.py simulated   # up to 1,000 nodes, at the driver's costs as measured here

Slow users sleep, so the real part needs few processors: it measures dispatching, not this machine. Costs are processor
time of the driver's thread, so that other work on the machine changes them little.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import closing
from pathlib import Path

import ray

from benchmarks.dispatch_model import Costs, FixedChunks, SimulatedWorker, durations, simulate
from clarify_rl.executor import Executor
from clarify_rl.pool import PoolSpec
from clarify_rl.pool.batch import Pace
from clarify_rl.pool.ray_pool import RayPool
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.synthesis.mix import Mix, sample_variants
from clarify_rl.types import Defect, Exchange, Reply, ReplyKind

USERS = Path(__file__).with_name("slow_users.py")
QUESTION = Reply("In which order?", ReplyKind.QUESTION, ("In which order?",))
THREADS = 2  # of a worker
WORKERS_A_NODE = 16
ITEMS_A_THREAD = 4  # in a batch


def main() -> None:
    """Runs one part and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("real", "simulated"))
    parser.add_argument("--user-s", type=float, default=1.0, help="mean seconds that a user takes")
    arguments = parser.parse_args()
    if arguments.what == "real":
        real(arguments.user_s)
    else:
        simulated(measured_costs(), arguments.user_s)


def real(user_s: float) -> None:
    """Replies a second with 1 to 16 actors, each of which can serve two at once."""
    options = {
        "user": f"{USERS}:SlowUser",
        "user_options": {"mean_s": user_s},
        "executor": Executor(servers=THREADS, allow_weak=True),
    }
    print("actors  replies/s  of possible  speed-up  driver")
    first = 0.0
    for actors in (1, 2, 4, 8, 16):
        exchanges = questions(2 * ITEMS_A_THREAD * THREADS * actors)
        with closing(RayPool(PoolSpec("ask_or_code", options), workers=actors)) as pool:
            while len(pool._route.fleet.members) < actors:  # the last ones may join after the pool has opened
                pool.respond(exchanges[:1])
            pool.numbers()
            started = time.monotonic()
            responses = pool.respond(exchanges)
            seconds = time.monotonic() - started
            numbers = pool.numbers()
        assert all(response.answer for response in responses)
        rate = len(exchanges) / seconds
        first = first or rate
        ideal = THREADS * actors / numbers["pool/respond_s"]
        driver = numbers["pool/driver_s"] / seconds
        print(f"{actors:6}  {rate:9.1f}  {rate / ideal:12.0%}  {rate / first:8.1f}  {driver:6.1%}", flush=True)


def measured_costs() -> Costs:
    """What a chunk, an item in it, and a chunk in flight cost the driver: real calls to actors that answer at once."""
    exchanges = questions(4096)
    sizes = (1, 4, 16, 64)
    per_chunk: list[float] = []
    with closing(RayPool(PoolSpec(f"{USERS}:Instant"), workers=2)) as pool:
        pool.respond(exchanges[:256])
        for size in sizes:
            pool._route.paces["respond"] = FixedChunks(size=size)
            batch = exchanges[: min(len(exchanges), 512 * size)]
            started = time.thread_time()
            pool.respond(batch)
            per_chunk.append((time.thread_time() - started) / (len(batch) / size))
        ref_s = _wait_cost()
    item_s, chunk_s = statistics.linear_regression(sizes, per_chunk)
    costs = Costs(chunk_s, item_s, ref_s)
    print(
        f"measured: {1e3 * chunk_s:.2f} ms a chunk, {1e6 * item_s:.0f} us an item in it, "
        f"{1e6 * ref_s:.2f} us a chunk in flight for each wait"
    )
    return costs


class Sleeper:
    """An actor whose calls stay in flight."""

    def rest(self) -> None:
        time.sleep(3600.0)


def _wait_cost() -> float:
    """Seconds that the two waits of one round take for each chunk in flight."""
    sleeper = ray.remote(Sleeper).options(num_cpus=0).remote()
    flights = [ray.put(0), *(sleeper.rest.remote() for _ in range(2000))]
    started = time.thread_time()
    for _ in range(20):
        ray.wait(flights)
        ray.wait(flights, num_returns=len(flights), timeout=0)
    seconds = (time.thread_time() - started) / 20 / len(flights)
    ray.kill(sleeper)
    return seconds


def simulated(costs: Costs, user_s: float) -> None:
    """Replies a second from one node to a thousand: as it was, and with chunks by need."""
    fixed, by_need = FixedChunks(costs.chunk_s, user_s), Pace(costs.chunk_s, user_s)
    print(f"users take {user_s:g} s; {WORKERS_A_NODE} workers a node, {THREADS} threads each")
    print(f"{'nodes':>5} {'workers':>7} {'possible':>9} {'chunks of 4':>12} {'by need':>9}")
    for nodes in (1, 4, 16, 64, 125, 250, 500, 1000):
        workers = [SimulatedWorker(THREADS)] * (nodes * WORKERS_A_NODE)
        items = durations(len(workers) * THREADS * ITEMS_A_THREAD, user_s)
        seconds = (
            sum(items) / (len(workers) * THREADS),
            simulate(items, workers, costs, fixed, one_by_one=True),
            simulate(items, workers, costs, by_need),
        )
        possible, before, now = (len(items) / each for each in seconds)
        print(f"{nodes:5} {len(workers):7} {possible:9.0f} {before:12.0f} {now:9.0f}", flush=True)


def questions(count: int) -> list[Exchange]:
    """First turns of unclear problems of the bank, each a question to the user."""
    mix = Mix(min(count, 64), FAMILIES, FAMILIES, 0.25, {1: 1.0, 2: 1.0}, {Defect.INCOMPLETE: 1.0})
    variants = sample_variants(mix, "test", 0)
    return [Exchange(variants[i % len(variants)], (), QUESTION, False, i, f"e{i}") for i in range(count)]


if __name__ == "__main__":
    main()
