from __future__ import annotations

import json
import re
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from clarify_rl import store
from clarify_rl.errors import DataError, RunFolderError
from clarify_rl.store import Run
from clarify_rl.types import (
    Answer,
    Assertions,
    Case,
    Defect,
    Episode,
    Execution,
    Fact,
    Heard,
    HiddenTests,
    Outcome,
    Problem,
    Raises,
    Reply,
    ReplyKind,
    Score,
    Stdio,
    StdioCase,
    Stop,
    Tests,
    Turn,
    Variant,
    Verdict,
)

COMMAND = ["clarify-rl", "run", "demo"]
VALUES = ((1, "a"), {1, 2}, frozenset({3}), {(1, 2): None}, b"\x00\xff", True, 1, 1.0, float("inf"), -0.0, "ü\n")
FACT = Fact("order", Defect.AMBIGUOUS, "Descending.", "Sensibly.", ("Down.",), ("Which order?",), ("ord", "sort"))
CASES = (*(Case((value,), value) for value in VALUES), Case((), Raises("ValueError")))
PROBLEM = Problem("p", "Sort it.", "sort", Tests(CASES, "printed"), "def sort(x): ...", "test", "family")
VARIANT = Variant("p/order", PROBLEM, "Sort it sensibly.", "ambiguous", (FACT,))
EPISODE = Episode(
    id="eval/p/order",
    variant=VARIANT,
    seed=7,
    turns=(
        Turn(
            Reply("Which?", ReplyKind.QUESTION, ("Which?",), None, (5, 6), (-0.5, -0.25)),
            Answer("Down.", (Heard(Outcome.REVEALED, ("order",)), Heard(Outcome.NONE))),
        ),
        Turn(Reply("```\npass\n```", ReplyKind.CODE, (), "pass", (7,), None)),
    ),
    stop=Stop.CODE,
    execution=Execution(Verdict.WRONG, 1, 2, ("pass", "wrong"), 0.5, 1.5, "detail"),
    failure="something of ours",
    prompt_ids=(1, 2),
    completion_ids=(5, 6, 9, 7),
    policy_mask=(1, 1, 0, 1),
    logprobs=(-0.5, -0.25, 0.0, -1.0),
    scores=(Score("pass_rate", None, 0.5, "why", (0.5, 0.0)), Score("other", 0.0)),
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", "seed: 0\n", COMMAND)


def test_an_episode_comes_back_with_every_field(run: Run) -> None:
    bare = Episode("bare", VARIANT, 0, (), Stop.FAILED)
    run.add_episodes("eval", [EPISODE, bare])
    assert run.read_episodes("eval", [VARIANT]) == [EPISODE, bare]


def test_the_values_of_tests_keep_their_types(run: Run) -> None:
    run.write_variants("part", [VARIANT])
    [found] = run.read_variants("part")
    assert found == VARIANT
    assert isinstance(found.problem.tests, Tests)
    values = [case.expected for case in found.problem.tests.cases]
    assert [(type(value), repr(value)) for value in values] == [
        (type(case.expected), repr(case.expected)) for case in CASES
    ]


@pytest.mark.parametrize(
    "tests",
    [
        Assertions(("assert candidate(1) == 2", "assert candidate(2) == 4"), setup="import math"),
        Stdio((StdioCase("1\n", "2\n"), StdioCase("", "")), compare="close:1e-9"),
    ],
    ids=["assertions", "stdio"],
)
def test_every_kind_of_hidden_tests_comes_back(run: Run, tests: HiddenTests) -> None:
    variant = replace(VARIANT, problem=replace(PROBLEM, tests=tests))
    run.write_variants("part", [variant, VARIANT])
    assert run.read_variants("part") == [variant, VARIANT]


def test_tests_of_an_unknown_kind_are_named(run: Run) -> None:
    run.write_variants("part", [replace(VARIANT, problem=replace(PROBLEM, tests=Stdio((StdioCase("", ""),))))])
    path = run.data_file("part")
    path.write_text(path.read_text(encoding="utf-8").replace('"Stdio"', '"Telepathy"'), encoding="utf-8")
    with pytest.raises(DataError, match="unknown type 'Telepathy'"):
        run.read_variants("part")


def test_a_note_stands_beside_the_versions_and_may_be_written_again(run: Run) -> None:
    run.note("environment", "tier B")
    run.note("environment", "tier A")
    run.note("nothing", "")
    assert run.info()["environment"] == "tier A"
    assert "python" in run.info()
    assert "nothing" not in run.info()


def test_a_last_line_that_a_crash_cut_off_is_left_out(run: Run) -> None:
    run.add_episodes("eval", [EPISODE])
    with (run.folder / "episodes" / "eval.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "eval/p/or')
    assert run.read_episodes("eval", [VARIANT]) == [EPISODE]


def test_episodes_added_after_a_crash_do_not_join_the_line_that_it_cut_off(run: Run) -> None:
    run.add_episodes("rl", [EPISODE], step=0)
    with (run.folder / "episodes" / "rl.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "eval/p/or')
    run.drop_episodes("rl", from_step=1)
    run.add_episodes("rl", [EPISODE], step=1)
    assert run.read_episodes("rl", [VARIANT]) == [EPISODE, EPISODE]


def test_a_broken_line_in_the_middle_is_named(run: Run) -> None:
    run.write_variants("part", [VARIANT])
    path = run.data_file("part")
    path.write_text("{broken\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(DataError, match=r"part\.jsonl:1 is not JSON"):
        run.read_variants("part")


def test_text_with_unusual_line_separators_stays_one_row(run: Run) -> None:
    run.add_metrics("rl", 1, {"note": "a\u2028b\u0085c"})
    assert run.read_metrics() == [{"stage": "rl", "step": 1, "note": "a\u2028b\u0085c"}]


def test_a_resumed_stage_forgets_only_its_own_later_steps(run: Run) -> None:
    for stage, step in (("sft", 2), ("rl", 1), ("rl", 2)):
        run.add_metrics(stage, step, {"train/loss": 1.0})
        run.add_episodes("rl", [EPISODE], step=step)
    run.drop_metrics("rl", from_step=2)
    run.drop_episodes("rl", from_step=2)
    assert [(row["stage"], row["step"]) for row in run.read_metrics()] == [("sft", 2), ("rl", 1)]
    assert len(run.read_episodes("rl", [VARIANT])) == 1


def test_a_run_folder_in_use_is_refused(run: Run) -> None:
    with pytest.raises(RunFolderError, match="in use by another process"):
        Run.resume(run.folder, "seed: 0\n")
    run.close()
    Run.resume(run.folder, "seed: 0\n").close()


def test_a_run_is_never_overwritten(run: Run) -> None:
    run.close()
    with pytest.raises(RunFolderError, match="already holds a run"):
        Run.create(run.folder, "seed: 0\n", COMMAND)


def test_resuming_with_another_configuration_is_refused_and_frees_the_folder(run: Run) -> None:
    run.close()
    with pytest.raises(RunFolderError, match=r"another configuration \(seed: 0, now 1\)"):
        Run.resume(run.folder, "seed: 1\n")
    Run.resume(run.folder, "seed: 0\n").close()


def test_resuming_without_a_run_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="Nothing to resume"):
        Run.resume(tmp_path / "none", "seed: 0\n")
    assert not (tmp_path / "none").exists()


def test_a_stage_is_complete_only_when_marked(run: Run) -> None:
    assert run.done() == []
    run.mark_done("sft", 1.23)
    run.mark_done("rl", 2.0)
    assert (run.is_done("sft"), run.is_done("eval-base"), run.done()) == (True, False, ["sft", "rl"])


def test_the_command_and_the_versions_are_kept(run: Run) -> None:
    info = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
    assert info["command"] == "clarify-rl run demo"
    assert {"python", "torch", "processor", "cores"} <= info.keys()


def test_of_several_learners_only_the_first_one_writes(tmp_path: Path) -> None:
    with Run.create(tmp_path, "seed: 0\n", COMMAND), Run.share(tmp_path, 0) as first, Run.share(tmp_path, 1) as second:
        for learner in (first, second):
            learner.add_episodes("rl", [EPISODE], step=0)
            learner.add_metrics("rl", 1, {"train/loss": 0.5})
        second.drop_episodes("rl")
        second.drop_metrics("rl")
        second.note("environment", "elsewhere")
        assert first.read_episodes("rl", [EPISODE.variant]) == [EPISODE]
        assert len(first.read_metrics()) == 1
        assert "environment" not in first.info()


def test_a_learner_waits_for_the_one_before_it_to_end(tmp_path: Path) -> None:
    with Run.create(tmp_path, "seed: 0\n", COMMAND):
        left_over = Run.share(tmp_path, 0)
        threading.Timer(0.5, left_over.close).start()
        Run.share(tmp_path, 0, wait_s=30.0).close()
        with Run.share(tmp_path, 0), pytest.raises(RunFolderError, match="in use by another process"):
            Run.share(tmp_path, 0, wait_s=0.1)


def test_a_run_says_from_which_commit_it_was_made_and_how_long_each_stage_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "checkout"
    package.mkdir()
    monkeypatch.setattr(store, "__file__", str(package / "store.py"))
    assert "commit" not in Run.create(tmp_path / "no checkout", "", ["test"]).info()
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        (package / "file").write_text("one")
        subprocess.run(["git", "-C", str(package), *words], check=True)
    with Run.create(tmp_path / "clean", "", ["test"]) as run:
        assert re.fullmatch(r"[0-9a-f]{40}", run.info()["commit"])
        run.mark_done("sft", 2.04, {"time/update_s": 1.0})
        assert run.seconds() == {"sft": 2.0}
    (package / "file").write_text("two")
    assert Run.create(tmp_path / "changed", "", ["test"]).info()["commit"].endswith(", with changes")
