"""What a judge that takes its time costs a step: 128 episodes scored by question_quality against a real server.

    python -m benchmarks.slow_judge --delay 2 --parallel 64

The server answers each request after --delay seconds. Printed: seconds for the batch, and what one request after the
other would take.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from clarify_rl.config_files import load_config
from clarify_rl.pipeline.check_reward import chosen_variants
from clarify_rl.pool import LocalPool, PoolSpec, RewardSpec
from clarify_rl.types import Answer, Episode, Reply, ReplyKind, Stop, Turn, Variant


def main() -> None:
    """Scores one batch and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=128)
    parser.add_argument("--delay", type=float, default=2.0, help="seconds of an answer")
    parser.add_argument("--parallel", type=int, default=64, help="requests under way at once")
    arguments = parser.parse_args()
    variants = [item for item in chosen_variants(load_config("demo"), "bank", None, 400) if item.facts]
    episodes = [_asking(number, variants) for number in range(arguments.episodes)]
    with _judge(arguments.delay) as model:
        options = {"model": model, "server": {"parallel": arguments.parallel}}
        with closing(LocalPool(PoolSpec(rewards=(RewardSpec("question_quality", options=options),)))) as pool:
            started = time.monotonic()
            scores = pool.score(episodes)
            took = time.monotonic() - started
    assert all(score.value == 0.5 for (score,) in scores), scores[0]
    alone = arguments.delay * arguments.episodes
    print(f"{arguments.episodes} episodes, {arguments.parallel} at once: {took:.1f} s; one by one at least {alone:g} s")


def _asking(number: int, variants: Sequence[Variant]) -> Episode:
    reply = Reply("?", ReplyKind.QUESTION, (f"Which order, number {number}?",))
    turn = Turn(reply, Answer("Descending."))
    return Episode(f"e{number}", variants[number % len(variants)], number, (turn,), Stop.NO_CODE)


@contextmanager
def _judge(delay_s: float) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(delay_s)
            text = json.dumps({"choices": [{"message": {"content": '{"grade": 2}'}, "finish_reason": "stop"}]})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"openai:http://127.0.0.1:{server.server_address[1]}/v1#judge"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
