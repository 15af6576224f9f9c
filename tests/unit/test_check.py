"""The check of the executor: that it sees what is wrong, and that the real executor shows nothing wrong."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from clarify_rl import doctor
from clarify_rl.cli import main
from clarify_rl.errors import DataError
from clarify_rl.executor import Capabilities, Layer, Limits, capabilities, traces
from clarify_rl.executor.check import Fault, Finding, Findings, Tried, check, judged
from clarify_rl.executor.corpus import SUMS, Kind, Program, bundled_corpus, read_corpus
from clarify_rl.executor.traces import Witness
from clarify_rl.executor.victim import victims_of
from clarify_rl.types import Execution, Verdict

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the executor needs Linux")

RIGHT = "def f(n):\n    return sum(k for k in range(2, n + 1) if all(k % d for d in range(2, k)))\n"
WRONG = "def f(n):\n    return -1\n"
EVERY_LAYER = dict.fromkeys(map(str, Layer), "")
needs_a_safe_machine = pytest.mark.skipif(
    sys.platform != "linux" or capabilities().tier not in doctor.SAFE_TIERS, reason="the executor refuses to work here"
)


def execution(verdict: Verdict, passed: int = 0) -> Execution:
    return Execution(verdict, passed, len(SUMS))


def finding(kind: Kind, *executions: Execution, seconds: float = 0.1) -> Finding:
    runs = tuple(Tried("pairs", each, seconds) for each in executions)
    return judged(Program("a program", kind, ""), runs, most_s=10.0)


def write_corpus(path: Path, *programs: tuple[str, Kind, str]) -> str:
    records = [{"name": name, "kind": kind, "program": text} for name, kind, text in programs]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return str(path)


# The bundled corpus.


def test_the_bundled_corpus_is_large_and_each_program_says_what_it_tries() -> None:
    programs = bundled_corpus()
    names = [program.name for program in programs]
    assert len(set(names)) == len(names) >= 200
    assert all(5 < len(name) < 80 for name in names)
    for kind in Kind:
        assert sum(program.kind is kind for program in programs) >= 40


def test_every_bundled_program_is_python_and_has_no_other_placeholder_than_those_that_are_filled_in() -> None:
    for program in bundled_corpus():
        text = program.aimed_at(Path("/somewhere"), 1234)
        ast.parse(text, program.name)
        assert not re.search(r"@[A-Z]+@", text), program.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no program"),
        ("nonsense", "corpus.jsonl:1 is not JSON"),
        ('\n{"name": "x", "kind": "fp"}', "corpus.jsonl:2 needs name, kind and program"),
        ('{"name": "x", "kind": "prob", "program": ""}', "Did you mean 'probe'?"),
        ('{"name": 3, "kind": "ok", "program": ""}', "needs name, kind and program"),
        ('{"name": "x", "kind": "ok", "program": ""}\n' * 2, "two programs named 'x'"),
        ("[" * 100_000, "is not JSON"),
        ("\udcff", "is not UTF-8"),
    ],
)
def test_a_corpus_that_cannot_be_used_is_one_clear_message(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        read_corpus(path)


def test_a_corpus_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_corpus(tmp_path / "none.jsonl")


# What counts as wrong.


@pytest.mark.parametrize(
    ("kind", "executions", "fault"),
    [
        (Kind.FALSE_PASS, [execution(Verdict.WRONG)], None),
        (Kind.FALSE_PASS, [execution(Verdict.WRONG), execution(Verdict.PASS, 7)], Fault.FALSE_PASS),
        (Kind.FALSE_PASS, [execution(Verdict.DIED, 7)], Fault.FALSE_PASS),
        (Kind.FALSE_PASS, [execution(Verdict.WALL_TIMEOUT)], None),
        (Kind.PROBE, [execution(Verdict.ERROR)], None),
        (Kind.PROBE, [execution(Verdict.PASS, 7)], Fault.ESCAPED),
        (Kind.DENIAL, [execution(Verdict.CPU_TIMEOUT, 3)], None),
        (Kind.DENIAL, [execution(Verdict.PASS, 7)], Fault.FALSE_PASS),
        (Kind.DENIAL, [execution(Verdict.INFRASTRUCTURE)], Fault.INFRASTRUCTURE),
        (Kind.HONEST, [execution(Verdict.PASS, 7)], None),
        (Kind.HONEST, [execution(Verdict.PASS, 7), execution(Verdict.WRONG, 6)], Fault.FAILED),
        (Kind.HONEST, [execution(Verdict.WALL_TIMEOUT)], Fault.FAILED),
    ],
)
def test_a_fault_is_what_a_kind_must_not_do(kind: Kind, executions: list[Execution], fault: Fault | None) -> None:
    found = finding(kind, *executions)
    assert found.fault is fault
    assert bool(found.why) is (fault is not None)


def test_a_run_that_takes_too_long_is_a_fault_of_any_kind() -> None:
    for kind in Kind:
        assert finding(kind, execution(Verdict.PASS, 7), seconds=11.0).fault is Fault.TOO_LATE


def test_an_executor_holds_only_without_faults_and_leftovers() -> None:
    found = Capabilities(EVERY_LAYER)
    good, bad = finding(Kind.HONEST, execution(Verdict.PASS, 7)), finding(Kind.HONEST, execution(Verdict.WRONG))
    assert Findings(found, (good,)).holds
    assert not Findings(found, (good, bad)).holds
    assert not Findings(found, (good,), ("process 7 is still running",)).holds


def test_everything_that_was_wrong_is_printed_by_name() -> None:
    console = Console(file=io.StringIO(), width=200)
    bad = finding(Kind.PROBE, execution(Verdict.PASS, 7))
    doctor.print_findings(Findings(Capabilities(EVERY_LAYER), (bad,), ("/tmp/x was left behind",)), console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    for text in ("tier A", "escaped", "a program", "7 of 7 tests passed", "/tmp/x was left behind", "2 faults"):
        assert text in printed


# What is left behind, and who was harmed.


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "DYING_S", 0.1)


@pytest.mark.usefixtures("_impatient")
def test_a_process_that_still_runs_is_left_behind() -> None:
    witness = Witness([])
    with subprocess.Popen(["sleep", "30"]) as process:
        assert [text for text in witness.left_behind() if f"process {process.pid} (sleep)" in text]
        process.kill()
    assert not [text for text in witness.left_behind() if "process" in text]


@pytest.mark.usefixtures("_impatient")
def test_a_process_that_got_away_from_its_parent_is_left_behind() -> None:
    witness = Witness([])
    script = "sleep 30 >/dev/null & echo $!; read line"
    shell = subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert shell.stdout is not None
    orphan = int(shell.stdout.readline())
    witness.look()
    shell.communicate("\n", timeout=10)
    try:
        assert [text for text in witness.left_behind() if f"process {orphan} (sleep)" in text]
    finally:
        os.kill(orphan, 9)


def test_a_file_and_a_descriptor_are_left_behind() -> None:
    name = f"clarify-check-{os.getpid()}"
    witness = Witness([f"open('/tmp/{name}')"])
    with tempfile.NamedTemporaryFile(dir="/tmp") as other, Path("/tmp", name).open("w") as file:
        left = witness.left_behind()
        Path(file.name).unlink()
    assert f"{file.name} was left behind" in left
    assert [text for text in left if "descriptor" in text and file.name in text]
    assert f"{other.name} was left behind" not in left
    assert not witness.left_behind()


def test_what_was_there_before_is_not_left_behind() -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp") as file:
        assert not [text for text in Witness([file.name]).left_behind() if file.name in text]


def test_harm_to_the_victim_is_seen_and_the_victim_goes_away() -> None:
    with victims_of([Program("x", Kind.HONEST, RIGHT)]) as [victim]:
        assert victim.harm() == []
        (victim.folder / "home" / "keep2.txt").unlink()
        (victim.folder / "tests" / "hidden_tests.py").write_text("assert True", encoding="utf-8")
        (victim.folder / "added").touch()
        with socket.create_connection(("127.0.0.1", victim.port), timeout=5):
            harm = victim.harm()
    assert [text.split()[-1] for text in harm[:3]] == ["destroyed", "made", "changed"]
    assert "connected" in harm[3]
    assert not victim.folder.exists()


def test_a_program_that_names_the_fixed_victim_gets_one() -> None:
    there = Path("/tmp/victim").exists()
    with victims_of([Program("x", Kind.PROBE, "open('/tmp/victim/home/keep2.txt')")]) as [_, fixed]:
        assert (fixed.folder / "home" / "keep2.txt").exists()
    assert Path("/tmp/victim").exists() is there


# The commands.


@needs_a_safe_machine
@pytest.mark.parametrize(
    ("text", "kind", "code", "printed"),
    [
        (WRONG, Kind.FALSE_PASS, 0, "The executor holds"),
        (RIGHT, Kind.FALSE_PASS, 1, "false pass  fp  suspect"),
        (RIGHT, Kind.PROBE, 1, "escaped  probe  suspect"),
        (WRONG, Kind.HONEST, 1, "benign program fails  ok  suspect"),
    ],
)
def test_check_executor_exits_with_1_when_something_got_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, kind: Kind, code: int, printed: str
) -> None:
    corpus = write_corpus(tmp_path / "corpus.jsonl", ("fine", Kind.HONEST, RIGHT), ("suspect", kind, text))
    assert main(["check", "executor", "--corpus", corpus, "--servers", "1", "--cpu-seconds", "1"]) == code
    out = capsys.readouterr().out
    assert "tier" in out
    assert printed in out


@needs_a_safe_machine
def test_check_executor_takes_so_many_of_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(doctor.corpus(None, 2)) == 2 * len(Kind)
    assert main(["check", "executor", "--limit", "1", "--without", "namespaces", "files"]) == 0
    out = capsys.readouterr().out
    assert "4 programs" in out
    assert "tier B" in out
    assert "no namespaces: turned off" in out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--corpus", "none.jsonl"], "Cannot read the corpus"),
        (["--without", "namespace"], "Did you mean 'namespaces'?"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--servers", "0"], "servers must be at least 1"),
        (["--cpu-seconds", "-1"], "cpu_s must be"),
        (["--without", "seccomp"], "not safe here"),
    ],
)
def test_a_check_that_cannot_start_says_why(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "executor", *argv]) == 2
    assert message in capsys.readouterr().err


def test_doctor_prints_the_tier_and_exits_with_0_only_where_programs_are_safe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = capabilities()
    assert main(["doctor"]) == (0 if found.tier in "AB" else 1)
    out = capsys.readouterr().out
    assert f"tier {found.tier}" in out
    for text in (*Layer, "torch", "ray", "GPU", sys.version.split()[0]):
        assert text in out


def test_doctor_says_why_a_layer_does_not_work_and_what_to_do() -> None:
    console = Console(file=io.StringIO(), width=400)
    found = Capabilities({**EVERY_LAYER, Layer.LANDLOCK: "no [such] call"}, escapes=("open a socket",))
    doctor.print_capabilities(found, console)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    for text in ("tier C", "✗ landlock", "no [such] call", "Linux 5.13", "✓ seccomp", "open a socket", "not safe"):
        assert text in printed


def test_doctor_and_check_load_no_heavy_library() -> None:
    program = (
        "import sys; from clarify_rl.cli import main; main(['doctor']); "
        "sys.exit(len({'torch', 'transformers', 'trl', 'ray', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# The executor itself.


@needs_a_safe_machine
def test_the_executor_holds_against_the_whole_bundled_corpus() -> None:
    honest = [program for program in bundled_corpus() if program.kind is Kind.HONEST]
    hostile = [program for program in bundled_corpus() if program.kind is not Kind.HONEST]
    patient, brief = Limits(cpu_s=20.0, wall_s=200.0, idle_s=100.0), Limits(cpu_s=0.5, wall_s=20.0, idle_s=0.5)
    for programs, limits in ((honest, patient), (hostile, brief)):
        findings = check(programs, limits, servers=2)
        faults = [f"{each.fault}: {each.program.name}: {each.why}" for each in findings.faults]
        assert not faults, "\n".join(faults)
        assert not findings.leftovers
