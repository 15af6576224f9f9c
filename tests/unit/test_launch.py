"""What goes along with a submitted job, and what a user is told before anything is sent."""

from __future__ import annotations

import asyncio
import json
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import ray
from aiohttp import web

from clarify_rl.config_files import load_config
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.launch import job as launch_job
from clarify_rl.launch.job import SubmittedJob, follow, prepare, submit
from clarify_rl.launch.learners import _wanted, _warn_of_waiting
from clarify_rl.launch.on_cluster import unmet
from tests.servers import answering


def test_every_file_that_the_configuration_names_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/mine.py", "b/mine.py", "user.py", "suite.jsonl", "source.py", "own.jsonl", "deaf.py", "credit.py"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    rewards = "rewards=[{use: 'a/mine.py:one'}, {use: 'b/mine.py:one'}, {use: 'a/mine.py:two'}, {use: pass_rate}]"
    sources = (
        "sources={own: {use: rows, options: {path: own.jsonl}}, other: {use: 'source.py:Mine', options: {path: x/y}}}"
    )
    more = ["eval.users.deaf.use=deaf.py:Deaf", "rl.credit=credit.py:mine"]
    config = load_config(
        "demo", [rewards, "env.user=user.py:slow", "eval.suites.mine.source=suite.jsonl", sources, *more]
    )
    (tmp_path / "job").mkdir()
    command = prepare(config, tmp_path / "job")
    monkeypatch.chdir(tmp_path / "job" / "files")
    there = load_config("config.yaml")
    found = [item.use.partition(":") for item in there.rewards[:3]]
    assert [(Path(file).read_text(), name) for file, _, name in found] == [
        ("a/mine.py", "one"),
        ("b/mine.py", "one"),
        ("a/mine.py", "two"),
    ]
    assert there.rewards[3].use == "pass_rate"
    assert Path(there.env.user.partition(":")[0]).read_text() == "user.py"
    assert Path(there.eval.suites["mine"].source).read_text() == "suite.jsonl"
    assert Path(there.sources["own"].options["path"]).read_text() == "own.jsonl"
    assert Path(there.sources["other"].use.partition(":")[0]).read_text() == "source.py"
    assert there.sources["other"].options == {"path": "x/y"}  # a name on the hub
    assert Path(there.eval.users["deaf"].use.partition(":")[0]).read_text() == "deaf.py"
    assert there.rl is not None and config.rl is not None
    assert Path(there.rl.credit.by.partition(":")[0]).read_text() == "credit.py"
    assert there.rl.model_copy(update={"credit": config.rl.credit}) == config.rl
    assert (there.data, there.sft) == (config.data, config.sft)
    told = json.loads(shlex.split(command)[-1])
    assert (told["out"], told["name"], told["resume"]) == ("runs/{name}", "demo", False)
    assert any(line.startswith("trl") for line in told["requirements"])
    assert not any("extra" in line for line in told["requirements"])


def test_a_missing_plugin_or_a_model_of_this_machine_is_not_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    for override, message in (
        ("rewards=[{use: 'none.py:x'}]", "No file 'none.py'"),
        ("model.base=model", "The model model lies on this machine.*absolute path"),
    ):
        (tmp_path / override[:3]).mkdir()
        with pytest.raises(ConfigError, match=message):
            prepare(load_config("demo", [override]), tmp_path / override[:3])


def test_what_the_cluster_lacks_is_named() -> None:
    met = ["ray[default]>=2", "pydantic", "numpy; python_version < '3'", "nothing-such; python_version < '3'"]
    assert unmet([*met, "pydantic<2", "no-such-package-at-all>=1"]) == ["pydantic<2", "no-such-package-at-all>=1"]


@contextmanager
def head(code: int, answer: object) -> Iterator[str]:
    """An address at which something answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("code", "answer", "message"),
    [
        (
            200,
            {"ray_version": "2.9.3"},
            rf"Ray 2\.9\.3, this environment has {ray.__version__}.*ray\[default\]==2\.9\.3",
        ),
        (200, {"hello": "world"}, "No Ray dashboard answers"),
        (404, {}, "HTTP status 404, which no Ray dashboard does"),
        (401, {}, "wants a token, and none was found"),
    ],
)
def test_who_does_not_answer_as_a_ray_of_our_version_is_told_apart(code: int, answer: object, message: str) -> None:
    with head(code, answer) as address, pytest.raises(ClarifyError, match=message):
        submit(load_config("demo"), address)


def test_the_address_of_ray_client_is_told_apart() -> None:
    with pytest.raises(ConfigError, match=r"is for Ray Client.*--address http://HEAD:8265"):
        submit(load_config("demo"), "ray://head:10001")


@pytest.mark.parametrize("address", ["127.0.0.1:six", "http://[::1", "http://"])
def test_what_is_no_address_is_said_without_a_traceback(address: str) -> None:
    with pytest.raises(ClarifyError, match="No Ray dashboard answers"):
        submit(load_config("demo"), address)


def test_a_port_where_no_web_server_listens_is_told_apart_from_the_dashboards() -> None:
    """As that of RAY_ADDRESS, which speaks gRPC."""
    with (
        answering(b"\0\0\6\4\0\0\0\0\0\0\5\0\0@\0") as address,
        pytest.raises(ClarifyError, match=r"what answers is no web server.*Its port is 8265"),
    ):
        submit(load_config("demo"), address)


class Troubled:
    """A head whose job prints four lines and is killed; its log is whole only at the fifth connection."""

    lines = ("one\n", "two\n", "three\n", "four\n")

    def __init__(self) -> None:
        self.asked = 0

    async def log(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.asked == 2:  # a proxy whose backend is away
            raise web.HTTPBadGateway
        if self.asked == 3:  # a forwarded port whose other end is away
            assert request.transport
            request.transport.close()
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        if self.asked == 4:  # a machine that went away without a word
            await stream.send_str("".join(self.lines[:3]))
            await asyncio.sleep(60)
        for line in self.lines[: 2 if self.asked == 1 else 4]:
            await stream.send_str(line)
        if self.asked == 1:
            assert request.transport
            request.transport.close()
        return stream

    async def job(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "FAILED", "message": "killed", "driver_exit_code": -9})

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"ray_version": ray.__version__})

    @contextmanager
    def running(self) -> Iterator[str]:
        app, loop, at = web.Application(), asyncio.new_event_loop(), threading.Event()
        app.router.add_get("/api/version", self.version)
        app.router.add_get("/api/jobs/{id}", self.job)
        app.router.add_get("/api/jobs/{id}/logs/tail", self.log)
        runner, ports = web.AppRunner(app, access_log=None, shutdown_timeout=0.1), list[int]()

        async def start() -> None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            ports.append(runner.addresses[0][1])
            at.set()

        loop.create_task(start())
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        assert at.wait(10)
        try:
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def test_a_log_that_was_cut_off_or_fell_silent_is_shown_whole_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_job, "_SILENT_S", 0.5)
    monkeypatch.setattr(launch_job, "_ASK_EVERY_S", 0.01)
    said: list[str] = []
    head = Troubled()
    with head.running() as address:
        code = follow(SubmittedJob("x", address), said.append)
    assert head.asked == 5
    assert "".join(said) == "".join(Troubled.lines) + "Job x failed: killed\n"
    assert code == 137  # as a shell has it for a program that was killed with signal 9


def test_a_head_that_stays_away_ends_the_waiting_and_says_how_to_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_job, "_ASK_EVERY_S", 0.01)
    monkeypatch.setattr(launch_job, "_MISSES", 3)
    head = Troubled()
    head.asked = 1

    async def away(_: web.Request) -> web.Response:
        raise web.HTTPServiceUnavailable

    monkeypatch.setattr(head, "log", away)
    with head.running() as address, pytest.raises(ClarifyError, match=r"does not answer any more.*ray job logs x"):
        follow(SubmittedJob("x", address), print)


def test_a_local_ray_of_learners_has_what_their_environment_workers_ask_for() -> None:
    resources = ["env.worker_resources={CPU: 2, sandbox: 1}", "env.workers={min: 1, max: 3}"]
    wanted = _wanted(load_config("demo", ["learners.count=2", *resources]))
    assert wanted["sandbox"] == 6
    assert wanted["CPU"] >= 2 * (1 + 3 * 2)


@pytest.mark.parametrize(("machines", "told"), [((3, 1), "room for 1 of 2"), ((2, 2), ""), ((1, 1, 1, 1), "0 of 2")])
def test_learners_that_no_machine_has_room_for_say_that_they_wait(machines: tuple[int, ...], told: str) -> None:
    """Two GPUs each, of four: Ray Train waits without a word."""
    config = load_config("demo", ["learners={count: 2, gpus: 2}"])
    said: list[object] = []
    _warn_of_waiting(config, 2, [{"CPU": 8.0, "GPU": float(count)} for count in machines], said.append)
    assert told in "".join(map(str, said))
    assert bool(said) == bool(told)
