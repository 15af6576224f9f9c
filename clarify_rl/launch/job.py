"""A run as a job on a Ray cluster: the code that is installed here goes along, the cluster brings the libraries.

`prepare` collects what the job needs into one folder; `submit` sends it; `follow` shows its log until it ends.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import platform
import re
import secrets
import shlex
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import ray
import yaml
from ray.job_submission import JobStatus, JobSubmissionClient

from clarify_rl.config import Config
from clarify_rl.errors import ClarifyError, ConfigError
from clarify_rl.launch.wheel import pack_wheel

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
_ASK_EVERY_S = 2.0
_ANSWER_S = 10.0  # after so long without an answer, the head is not there
_SILENT_S = 60.0  # a log without a new line for so long is asked for anew: nothing tells that the other end vanished
_MISSES = 30  # how often in a row the head may not answer
_UNANSWERED = (RuntimeError, OSError, ValueError, aiohttp.ClientError, http.client.HTTPException)


@dataclass(frozen=True)
class SubmittedJob:
    """A submitted run: its id, and the address of the head's dashboard."""

    id: str
    address: str

    @property
    def link(self) -> str:
        return f"{self.address}/#/jobs/{self.id}"

    @property
    def to_follow(self) -> str:
        return f"ray job logs {self.id} --follow --address {self.address}"

    @property
    def to_stop(self) -> str:
        return f"ray job stop {self.id} --address {self.address}"


def submit(config: Config, address: str = DEFAULT_ADDRESS, *, resume: bool = False) -> SubmittedJob:
    """Sends a run to the cluster whose dashboard is at `address`, and does not wait for it.

    `resume` goes on with the run in the same `out`. Raises ClarifyError: no Ray at that address, another version of it,
    a missing or wrong token; ConfigError: the configuration names something that lies on this machine only.
    """
    address = _checked(address)
    with tempfile.TemporaryDirectory() as folder:
        entrypoint = prepare(config, Path(folder), resume=resume)
        (wheel,) = Path(folder).glob("*.whl")
        client = _client(address)
        job_id = f"{re.sub(r'[^A-Za-z0-9_-]', '-', config.name)}-{secrets.token_hex(4)}"
        client.submit_job(
            entrypoint=entrypoint,
            submission_id=job_id,
            runtime_env={"working_dir": str(Path(folder) / "files"), "py_modules": [str(wheel)]},
            metadata={"clarify_rl": config.name},
        )
    return SubmittedJob(job_id, address)


def follow(job: SubmittedJob, write: Callable[[str], object]) -> int:
    """Hands on the job's log as it grows, also over a lost connection. 0 when the job succeeded, else its exit code.

    As in a shell, that of a job that a signal ended is 128 and the signal's number.
    """
    ended = asyncio.run(_tail(_client(job.address), job, write))
    if ended["status"] == "SUCCEEDED":
        return 0
    write(f"Job {job.id} {ended['status'].lower()}: {(ended.get('message') or '').strip()}\n")
    code = int(ended.get("driver_exit_code") or 1)
    return code if code > 0 else 128 - code


async def _tail(
    client: JobSubmissionClient, job: SubmittedJob, write: Callable[[str], object]
) -> dict[str, Any]:  # Any: JSON, what Ray says about the job once it has ended
    log, missed = _Log(client, job, write), 0
    while True:
        before = log.shown
        try:
            is_whole = await log.show()
            stands: dict[str, Any] = _ask(job.address, f"/api/jobs/{job.id}")
            if JobStatus(stands["status"]).is_terminal() and is_whole:
                return stands
            missed = 0
        except _UNANSWERED as error:
            missed = 1 if log.shown > before else missed + 1
            if missed > _MISSES:
                raise ClarifyError(
                    f"{job.address} does not answer any more ({error}); the job may go on. Follow it: {job.to_follow}"
                ) from None
        await asyncio.sleep(_ASK_EVERY_S)


@dataclass
class _Log:
    """A job's log, and how many of its characters were shown: Ray always sends it from its start."""

    client: JobSubmissionClient
    job: SubmittedJob
    write: Callable[[str], object]
    shown: int = 0

    async def show(self) -> bool:
        """Shows what is new, until the log ends (True) or falls silent (False)."""
        clock, read = asyncio.get_running_loop().time, 0
        try:
            async with asyncio.timeout(_SILENT_S) as patience:
                async for text in self.client.tail_job_logs(self.job.id):
                    patience.reschedule(clock() + _SILENT_S)
                    self.write(text[max(0, self.shown - read) :])
                    read += len(text)
                    self.shown = max(self.shown, read)
        except TimeoutError:
            return False
        return True


# ---- what the job needs


def prepare(config: Config, folder: Path, *, resume: bool = False) -> str:
    """Writes a wheel and files/ (configuration, plugins, data) into `folder`; returns the command that runs them."""
    files = folder / "files"
    files.mkdir()
    order = {
        "name": config.name,
        "out": config.out,
        "resume": resume,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "requirements": pack_wheel(folder).requirements,
    }
    moved = _with_files(config, files)
    (files / "config.yaml").write_text(yaml.safe_dump(moved, sort_keys=False, allow_unicode=True))
    return f"python -u -m clarify_rl.launch.on_cluster {shlex.quote(json.dumps(order))}"


def _with_files(config: Config, files: Path) -> dict[str, Any]:  # Any: a configuration as YAML has it
    """The configuration with every file that it names copied into `files` and named as it is there."""
    settings: dict[str, Any] = config.model_dump(mode="json")
    _refuse_local_models(settings)
    copied: dict[Path, str] = {}
    for section, key in (
        (settings["env"], "use"),
        (settings["env"], "user"),
        *((item, "use") for item in settings["rewards"]),
        *((source, "use") for source in settings["sources"].values()),
        *((user, "use") for user in settings["eval"]["users"].values()),
        *([(settings["rl"]["credit"], "by")] if settings["rl"] else []),
    ):
        location, _, name = section[key].rpartition(":")
        if location.endswith(".py"):
            section[key] = f"{_copy(Path(location), files, copied)}:{name}"
    for source in settings["sources"].values():
        path = source["options"].get("path")
        if isinstance(path, str) and Path(path).is_file():
            source["options"]["path"] = _copy(Path(path), files, copied)
    for suite in settings["eval"]["suites"].values():
        if Path(suite["source"]).is_file():
            suite["source"] = _copy(Path(suite["source"]), files, copied)
    return settings


def _copy(path: Path, files: Path, copied: dict[Path, str]) -> str:
    """Where a file lies in `files`: each in a folder of its own, for two may have one name."""
    if not path.is_file():
        raise ConfigError(f"No file {str(path)!r} (looked in {Path.cwd()}). Give a path to an existing file.")
    if path.resolve() not in copied:
        folder = f"file{len(copied)}"
        (files / folder).mkdir()
        shutil.copy(path, files / folder)
        copied[path.resolve()] = f"{folder}/{path.name}"
    return copied[path.resolve()]


def _refuse_local_models(settings: dict[str, Any]) -> None:  # Any: as above
    for spec in (settings["model"]["base"], *settings["eval"]["models"].values()):
        if not Path(spec).is_absolute() and Path(spec).exists():
            raise ConfigError(
                f"The model {spec} lies on this machine, and is not sent along. Put it on storage that the cluster "
                "mounts and give its absolute path there, or name a model of the hub."
            )


# ---- the cluster


def _checked(address: str) -> str:
    """The address with its scheme, once a Ray of our version answers there."""
    if address.startswith("ray://"):
        raise ConfigError(f"{address} is for Ray Client. Jobs go to the dashboard: --address http://HEAD:8265")
    address = (address if "://" in address else f"http://{address}").rstrip("/")
    try:
        theirs = str(_ask(address, "/api/version")["ray_version"])
    except urllib.error.HTTPError as error:
        raise ClarifyError(_refusal(address, error.code)) from None
    except (*_UNANSWERED, KeyError) as error:
        why = "what answers is no web server" if isinstance(error, http.client.BadStatusLine) else error
        raise ClarifyError(
            f"No Ray dashboard answers at {address} ({getattr(error, 'reason', why)}). Its port is 8265, if the head "
            "was not told another one. Is the head running, with `--dashboard-host 0.0.0.0` if it is another machine? "
            "From outside a cluster, forward the port: ssh -L 8265:127.0.0.1:8265 HEAD, then "
            "--address http://127.0.0.1:8265"
        ) from None
    if theirs.split(".")[:2] != ray.__version__.split(".")[:2]:
        raise ClarifyError(
            f"The cluster at {address} runs Ray {theirs}, this environment has {ray.__version__}. Install one version "
            f"on both sides, here: pip install 'ray[default]=={theirs}'"
        )
    return address


def _ask(address: str, path: str) -> Any:  # Any: JSON
    """What the dashboard answers; Ray's own client would wait for it forever."""
    request = urllib.request.Request(address + path, headers=_headers())
    with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
        return json.load(answer)


def _refusal(address: str, code: int) -> str:
    get = "Get the cluster's token from its owner (on the head: ray get-auth-token), then: export RAY_AUTH_TOKEN=..."
    if code == 401:
        return f"The cluster at {address} wants a token, and none was found. {get} (or RAY_AUTH_TOKEN_PATH=FILE)"
    if code == 403:
        return f"The cluster at {address} does not take the token from {_token_source()}. {get}"
    return f"{address} answered with HTTP status {code}, which no Ray dashboard does. Check --address."


def _headers() -> dict[str, str]:
    token = _token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _token() -> str:
    """The token by the rules of Ray, also where RAY_AUTH_MODE is not set; "" if there is none."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return ""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token.strip()
    file = _token_file()
    return file.read_text().strip() if file.is_file() else ""


def _token_file() -> Path:
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")


def _token_source() -> str:
    return "RAY_AUTH_TOKEN" if os.environ.get("RAY_AUTH_TOKEN") else str(_token_file())


def _client(address: str) -> JobSubmissionClient:
    with _only_address(address):
        return JobSubmissionClient(address, headers=_headers())


@contextmanager
def _only_address(address: str) -> Iterator[None]:
    """Ray lets RAY_ADDRESS and its like win over the address that was asked for; this one wins over both."""
    name = "RAY_API_SERVER_ADDRESS"
    before = os.environ.get(name)
    os.environ[name] = address
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
