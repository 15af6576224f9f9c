"""Which layers hold here, what that is worth, and what is refused. Layers are turned off on purpose."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from clarify_rl.errors import ExecutorError
from clarify_rl.executor import Capabilities, Executor, Layer, Limits, capabilities, client
from clarify_rl.executor.process import ServerProcess
from tests.executor_cases import DOUBLE, GOOD, LIMITS, launch, left_behind, needs, on_linux, one

EVERYTHING = dict.fromkeys(Layer, "")


def found(*missing: Layer, escapes: tuple[str, ...] = ()) -> Capabilities:
    layers: dict[str, str] = {layer: "turned off" if layer in missing else "" for layer in Layer}
    return Capabilities(layers, escapes)


# What layers are worth.


@pytest.mark.parametrize(
    ("missing", "tier"),
    [
        ((), "A"),
        ((Layer.USER,), "A"),
        ((Layer.NAMESPACES, Layer.FILES), "B"),
        ((Layer.NAMESPACES, Layer.FILES, Layer.USER), "B"),
        ((Layer.LANDLOCK,), "B"),
        ((Layer.FILES,), "B"),
        ((Layer.LIMITS,), "C"),
        ((Layer.LANDLOCK, Layer.FILES), "C"),
        ((Layer.NAMESPACES, Layer.FILES, Layer.LANDLOCK), "C"),
        ((Layer.NAMESPACES, Layer.FILES, Layer.LANDLOCK, Layer.LIMITS, Layer.USER), "C"),
        ((Layer.SECCOMP,), "D"),
        (tuple(Layer), "D"),
    ],
)
def test_a_tier_says_what_the_layers_are_worth(missing: tuple[Layer, ...], tier: str) -> None:
    assert found(*missing).tier == tier


def test_a_way_out_is_worth_no_more_than_tier_c() -> None:
    assert found(escapes=("read /etc/passwd",)).tier == "C"
    assert found(Layer.SECCOMP, escapes=("start a process",)).tier == "D"


def test_a_layer_that_was_not_tried_does_not_work() -> None:
    assert Capabilities().tier == "D"
    assert not Capabilities().works(Layer.USER)
    assert not Capabilities().is_process_one


def test_the_summary_says_in_words_what_works() -> None:
    assert found().summary == "tier A: every layer holds"
    summary = found(Layer.LANDLOCK, escapes=("trace the fork server",)).summary
    assert summary.startswith("tier C: files of this user can be read and changed")
    assert "no landlock (turned off)" in summary
    assert "trace the fork server" in summary


# What this machine does. Everything below starts fork servers.


@on_linux
def test_this_machine_keeps_programs_in() -> None:
    assert capabilities().tier in "AB", capabilities().summary
    assert capabilities().escapes == ()


WEAK = {
    "B": ("namespaces",),
    "B without Landlock": ("landlock",),
    "C": ("namespaces", "landlock"),
    "C without limits": ("limits",),
    "D": ("seccomp",),
    "D with nothing": tuple(Layer),
}


@on_linux
@pytest.mark.parametrize("name", WEAK)
def test_a_layer_that_is_turned_off_lowers_the_tier(name: str) -> None:
    needs(*set(Layer) - {Layer.USER})
    weak = capabilities(WEAK[name])
    assert weak.tier == name[0]
    assert not any(weak.works(Layer(layer)) for layer in WEAK[name])


@on_linux
@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("B", {}),
        ("B without Landlock", {}),
        ("C", {"allow_weak": False, "unsafe": False}),
        ("C without limits", {"allow_weak": False}),
        ("D", {"allow_weak": True}),
        ("D with nothing", {"allow_weak": True}),
    ],
)
def test_a_weak_machine_is_refused_unless_the_caller_insists(name: str, refused: dict[str, bool]) -> None:
    needs(*set(Layer) - {Layer.USER})
    enough = {} if name[0] == "B" else {"allow_weak": True} if name[0] == "C" else {"unsafe": True}
    with Executor(LIMITS, servers=1, without=WEAK[name], **enough) as executor:  # type: ignore[arg-type]  # two flags
        assert executor.run(GOOD, "f", DOUBLE).solved
    if refused:
        with (
            Executor(LIMITS, servers=1, without=WEAK[name], **refused) as executor,  # type: ignore[arg-type]  # two flags
            pytest.raises(ExecutorError) as caught,
        ):
            executor.run(GOOD, "f", DOUBLE)
        message = str(caught.value)
        assert message.startswith(f"Untrusted programs are not safe here. tier {name[0]}: ")
        assert ("allow_weak=True" if name[0] == "C" else "unsafe=True, for trusted programs only") in message
        assert all(f"{Layer(layer)}: " in message for layer in WEAK[name])
        assert executor.server_pids == ()


@on_linux
def test_the_error_names_what_to_do() -> None:
    with Executor(servers=1, without=("seccomp",)) as executor, pytest.raises(ExecutorError) as caught:
        executor.run(GOOD, "f", DOUBLE)
    assert "seccomp: use Linux on x86_64 or aarch64 with CONFIG_SECCOMP_FILTER" in str(caught.value)


@on_linux
def test_a_refusal_comes_again_and_leaves_no_process() -> None:
    executor = Executor(servers=1, without=("seccomp",))
    for _ in range(3):
        with pytest.raises(ExecutorError, match="not safe here"):
            executor.run(GOOD, "f", DOUBLE)
        assert executor.server_pids == ()


@on_linux
def test_files_of_a_programs_own_need_a_private_file_system() -> None:
    with (
        Executor(replace(LIMITS, files_mb=1), servers=1, without=("namespaces",)) as executor,
        pytest.raises(ExecutorError, match=r"files_mb needs a private file system.*needs namespaces"),
    ):
        executor.run(GOOD, "f", DOUBLE)


@on_linux
def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ExecutorError, match="Did you mean 'namespaces'"):
        Executor(without=("namespace",))


# Where seccomp does not work, programs can start processes. They are cleared up.

OPEN = {
    "first of its namespace": ("seccomp",),
    "a user of its own": ("seccomp", "namespaces"),
    "the caller's user": ("seccomp", "namespaces", "user"),
}


@pytest.fixture(scope="module", params=OPEN)
def open_executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(LIMITS, servers=1, unsafe=True, without=OPEN[request.param]) as executor:
        yield executor


@on_linux
@pytest.mark.parametrize(
    "program",
    [
        "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n",
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        time.sleep(60)\n    os._exit(0)\n",
        "import os, time\nfor _ in range(12):\n    try:\n        if os.fork() == 0:\n            os.setsid()\n"
        "            time.sleep(60)\n    except OSError:\n        pass\n",
    ],
    ids=["a child", "a daemon", "a bounded fork bomb"],
)
def test_processes_that_a_program_leaves_behind_are_killed(open_executor: Executor, program: str) -> None:
    execution = open_executor.run(program + GOOD, "f", DOUBLE)
    assert execution.solved
    assert execution.wall_s < 50  # a child that sleeps is not waited for
    assert not left_behind(open_executor)


@on_linux
def test_processor_time_of_other_processes_is_counted(open_executor: Executor) -> None:
    program = "import os, time\nif os.fork() == 0:\n    end = time.process_time() + 0.2\n"
    program += "    while time.process_time() < end: pass\n    os._exit(0)\n"
    program += "def f(n):\n    n < 2 and os.wait()\n    return 2 * n"
    assert open_executor.run(program, "f", DOUBLE).cpu_s > 0.2


@on_linux
@pytest.mark.parametrize("death", ["os._exit(0)", "os.kill(os.getpid(), 9)", "os.killpg(0, 9)"])
def test_a_cheat_does_not_pass_there_either(open_executor: Executor, death: str) -> None:
    program = f"import os\nif os.fork():\n    {death}\ndef f(n):\n    return -1"
    assert open_executor.run(program, "f", DOUBLE).passed == 0
    assert not left_behind(open_executor)


# Kernels of other years.


@on_linux
def test_no_file_of_ours_can_be_emptied_where_landlock_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = launch(tmp_path, "from clarify_rl.executor.fork_server import landlock\nlandlock.version = lambda: 2\n")
    monkeypatch.setattr(client, "ServerProcess", partial(ServerProcess, launch=script))
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        file = Path(name) / "precious"
        file.write_text("precious", encoding="utf-8")
        file.chmod(0o666)
        with Executor(LIMITS, servers=1, without=("namespaces",)) as executor:
            executor.run(f"import os\ndef f():\n    os.truncate({str(file)!r}, 0)", "f", one(None))
        assert file.read_text(encoding="utf-8") == "precious"


@on_linux
@pytest.mark.parametrize(
    ("version", "without"), [(1, ()), *((version, ("namespaces",)) for version in (1, 2, 3, 4, 5))]
)
def test_every_version_of_landlock_keeps_programs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, without: tuple[str, ...]
) -> None:
    needs(Layer.LANDLOCK)
    old = f"from clarify_rl.executor.fork_server import landlock\nlandlock.version = lambda: {version}\n"
    monkeypatch.setattr(client, "ServerProcess", partial(ServerProcess, launch=launch(tmp_path, old)))
    with Executor(LIMITS, servers=1, without=without) as executor:
        assert executor.capabilities.works(Layer.LANDLOCK)
        assert executor.capabilities.tier in "AB"
        assert executor.run(GOOD, "f", DOUBLE).solved


@on_linux
def test_limits_are_part_of_what_is_found() -> None:
    assert Limits().files_mb == 0
    with Executor(servers=1) as executor:
        assert executor.capabilities == capabilities()
