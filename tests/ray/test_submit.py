"""`clarify-rl submit` from another folder and environment, against a head with and without token authentication."""

from __future__ import annotations

import json
import os
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
CONFIG = """
name: tiny
data: {demonstrated: [count_beyond, chunk_list], held_out: [points_beyond], rl: {count: 4, clear_share: 0.25}}
dialogue: {max_questions: 1, turn_tokens: 96, total_tokens: 256}
sft: null
env: {workers: 1}
learners: {count: 2}
rewards:
  - {use: pass_rate}
  - {use: "mine/rewards.py:one_question", weight: 0.1}
rl:
  trainer: {max_steps: 1, num_generations: 4, per_device_train_batch_size: 4, gradient_accumulation_steps: 1}
eval:
  suites:
    held_out: {families: held_out, count: 2}
"""
REWARD = """
from clarify_rl import Episode


def one_question(episode: Episode) -> float:
    return float(len(episode.questions) == 1)
"""


@dataclass(frozen=True)
class Head:
    """A Ray head of this test's own, and the settings by which a client gets in."""

    address: str
    token: str


@pytest.fixture(scope="module")
def head(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """The head of configs/cluster/local.sh, which makes a token of its own, or one without."""
    port, dashboard, agent, client = free_ports(4)
    home = tmp_path_factory.mktemp("cluster")
    sessions = tempfile.mkdtemp(prefix="ray-")  # Ray's sockets lie there, and their paths must be short
    command = ["sh", str(ROOT / "configs" / "cluster" / "local.sh"), "--num-cpus=4", f"--port={port}"]
    command += [f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
    command += [f"--ray-client-server-port={client}", f"--temp-dir={sessions}"]
    mode = {} if request.param == "token" else {"RAY_AUTH_MODE": "disabled"}
    env = {**clean_environment(), **mode, "HOME": str(home), "PATH": f"{BIN}:/usr/bin:/bin"}
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=home, start_new_session=True)
    try:
        token = wait_until_it_answers(f"http://127.0.0.1:{dashboard}", request.param, process, home)
        yield Head(f"http://127.0.0.1:{dashboard}", token)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        shutil.rmtree(sessions, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def clean_environment() -> dict[str, str]:
    """Without what this process was told about Python and Ray."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHON"))}


def authentication(token: str) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token} if token else {"RAY_AUTH_MODE": "disabled"}


def wait_until_it_answers(address: str, mode: str, process: subprocess.Popen[bytes], home: Path) -> str:
    """The token, if the head wants one, once the head takes it."""
    log, file = home / "log", home / ".ray" / "auth_token"
    deadline = time.monotonic() + 120
    while True:
        token = file.read_text() if mode == "token" and file.exists() else ""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            # Jobs need the node's agent, which starts after the dashboard.
            for path in ("/api/version", "/api/jobs/"):
                urllib.request.urlopen(urllib.request.Request(address + path, headers=headers), timeout=5).close()
            return token
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The python of a fresh environment with a plain installation of clarify-rl, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True, timeout=120)
    packages = next((folder / "venv" / "lib").glob("python*/site-packages"))
    checkout = folder / "checkout"  # building leaves files behind
    for name in ("clarify_rl", "configs", "envs", "rewards"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, checkout)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", packages, checkout], check=True, timeout=300)
    # Behind its own: a checkout that this environment has installed is not found first, nor its import hooks run.
    (packages / "libraries.pth").write_text("\n".join(site.getsitepackages()))
    return folder / "venv" / "bin" / "python"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: a configuration and a reward."""
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rewards.py").write_text(REWARD)
    return tmp_path


def submit(python: Path, folder: Path, address: str, *more: str, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "clarify_rl", "submit", "tiny.yaml", "--address", address, *more]
    env = {**clean_environment(), "HOME": str(folder), "RAY_ADDRESS": "127.0.0.1:1", **settings}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=590, check=False)


with_token = pytest.mark.parametrize("head", ["token"], indirect=True)


@pytest.mark.parametrize("head", ["token", "disabled"], indirect=True)
def test_a_run_with_a_users_reward_succeeds_and_its_results_survive(
    head: Head, environment: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "shared" / "tiny"
    done = submit(environment, folder, head.address, f"out={out}", **authentication(head.token))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"The run folder is {out} on" in done.stdout
    assert "Job tiny-" in done.stdout
    assert f"{head.address}/#/jobs/tiny-" in done.stdout
    assert json.loads((out / "comparison.json").read_text())["checkpoints"] == ["base", "rl"]
    episodes = [json.loads(line) for line in (out / "episodes" / "rl.jsonl").read_text().splitlines()]
    assert {score["name"] for episode in episodes for score in episode["scores"]} == {"pass_rate", "one_question"}
    assert not (folder / "runs").exists()

    again = submit(environment, folder, head.address, f"out={out}", **authentication(head.token))
    assert again.returncode == 2
    assert "already holds a run" in again.stdout
    resumed = submit(environment, folder, head.address, f"out={out}", "--resume", **authentication(head.token))
    assert resumed.returncode == 0
    assert "rl: complete already" in resumed.stdout


@with_token
def test_a_wrong_or_missing_token_says_what_to_do(head: Head, environment: Path, folder: Path) -> None:
    wrong = submit(environment, folder, head.address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="x" * 64)
    assert wrong.returncode == 2
    assert "does not take the token from RAY_AUTH_TOKEN. Get the cluster's token" in wrong.stderr
    missing = submit(environment, folder, head.address)
    assert missing.returncode == 2
    assert "wants a token, and none was found" in missing.stderr


@with_token
def test_without_waiting_it_says_how_to_follow_and_stop(
    head: Head, environment: Path, folder: Path, tmp_path: Path
) -> None:
    done = submit(environment, folder, head.address, "--no-wait", f"out={tmp_path}/x", RAY_AUTH_TOKEN=head.token)
    assert done.returncode == 0, done.stderr
    assert f"--follow --address {head.address}" in done.stdout
    stop_job(done.stdout, head)


@with_token
def test_ctrl_c_leaves_the_job_and_says_how_to_follow_and_stop_it(
    head: Head, environment: Path, folder: Path, tmp_path: Path
) -> None:
    command = [str(environment), "-u", "-m", "clarify_rl", "submit", "tiny.yaml", "--address", head.address]
    env = {**clean_environment(), "RAY_AUTH_TOKEN": head.token}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*command, f"out={tmp_path}/y"], cwd=folder, env=env, stdout=log, stderr=log)
    deadline = time.monotonic() + 300
    while "The run folder is" not in (tmp_path / "log").read_text() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said
    _, _, last = said.partition("Interrupted. The job goes on.")
    assert f"--follow --address {head.address}" in last
    stop_job(last, head)


def stop_job(said: str, head: Head) -> None:
    """Runs the command that was printed for it."""
    words = said.partition("Stop it:   ray ")[2].splitlines()[0].split()
    env = {**clean_environment(), **authentication(head.token)}
    stopped = subprocess.run([BIN / "ray", *words], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert stopped.returncode == 0, stopped.stderr


def test_no_head_there_says_what_to_check(environment: Path, folder: Path) -> None:
    (port,) = free_ports(1)
    done = submit(environment, folder, f"http://127.0.0.1:{port}")
    assert done.returncode == 2
    assert f"No Ray dashboard answers at http://127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_wheel_of_an_installation_is_that_of_the_checkout_it_came_from(environment: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from clarify_rl.launch.wheel import pack_wheel;"
        "print(pack_wheel(Path(sys.argv[1])).path)"
    )
    names = []
    for python, more in ((environment, {}), (Path(sys.executable), {"PYTHONPATH": str(ROOT)})):
        env = {**clean_environment(), **more}
        made = subprocess.run(
            [python, "-c", program, tmp_path], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        names.append(Path(made.stdout.strip()).name)
    assert names[0] == names[1]
    inside = zipfile.ZipFile(tmp_path / names[0]).namelist()
    assert {"clarify_rl/configs/demo.yaml", "clarify_rl/rewards/pass_rate.py"} <= set(inside)
