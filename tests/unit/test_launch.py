"""What goes along with a submitted job, and what a user is told before anything is sent."""

from __future__ import annotations

import json
import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import ray

from clarify_rl.config_files import load_config
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.launch.job import prepare, submit
from clarify_rl.launch.on_cluster import unmet


def test_every_file_that_the_configuration_names_goes_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/mine.py", "b/mine.py", "user.py", "suite.jsonl"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(name)
    rewards = "rewards=[{use: 'a/mine.py:one'}, {use: 'b/mine.py:one'}, {use: 'a/mine.py:two'}, {use: pass_rate}]"
    config = load_config("demo", [rewards, "env.user=user.py:slow", "eval.suites.mine.source=suite.jsonl"])
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
    assert (there.rl, there.data, there.sft) == (config.rl, config.data, config.sft)
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
