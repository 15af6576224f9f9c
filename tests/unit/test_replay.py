"""`replay`: recorded dialogues give the published numbers to the digit, and episodes like those of any model."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from clarify_rl.cli import main
from clarify_rl.errors import DataError
from clarify_rl.evaluation.agreement import kappa
from clarify_rl.evaluation.published import Published, as_executed, communicates, published
from clarify_rl.evaluation.recorded import Recording, read_recordings
from clarify_rl.types import ReplyKind, Stop

SHARED = Path(__file__).parents[3] / "shared" / "data"
RECORDED = SHARED / "recorded"
SUITE = SHARED / "HumanEvalComm.jsonl"
needs_recordings = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"no recordings in {RECORDED}")

PROMPT = """from typing import List

def top(xs: List[int]) -> int:
    ''' The largest number; 0 for an empty list. '''
"""
ROW = {
    "name": "HumanEval/900",
    "entry_point": "top",
    "prompt": PROMPT,
    "solution": "    return max(xs, default=0)\n",
    "test_case": [
        {"input": "[1, 3, 2]", "output": "3", "relation": "=="},
        {"input": "[]", "output": "0", "relation": "=="},
    ],
    "prompt1a": PROMPT.replace("largest", "special").replace("top(", "candidate("),
    "prompt1p": PROMPT.replace("; 0 for an empty list", "").replace("top(", "candidate("),
}
RIGHT = "def candidate(xs: List[int]) -> int:\n    return max(xs, default=0)"


def recording(**changes: object) -> dict[str, object]:
    row = {
        "model": "some-model",
        "problem": "HumanEval/900",
        "category": "prompt1p",
        "first_reply": "What should be returned for an empty list?",
        "answer": "0.",
        "judge_quality": "3",
        "final_code": RIGHT,
    }
    return {**row, **changes}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# ---- the published numbers


@needs_recordings
@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "communication", "good"),
    [
        ("gpt-3.5-turbo", 14.21, 13.43),
        ("deepseek-coder-6.7b-instruct", 30.76, 61.42),
        ("okanagan-gpt-3.5", 72.73, 52.24),
        ("codellama-13b-instruct", 10.16, 37.55),
    ],
)
def test_communication_and_good_questions_are_the_published_ones(name: str, communication: float, good: float) -> None:
    recordings = list(read_recordings(RECORDED / f"{name}.jsonl.gz"))
    last = [each for each in recordings if each.model == recordings[-1].model]  # of two runs, the second
    row = published(name, last, [])
    assert row.communication_rate == pytest.approx(communication, abs=0.01)
    assert row.good_question_rate == pytest.approx(good, abs=0.01)


@needs_recordings
@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "pass_at_1", "tests"),
    [
        ("gpt-3.5-turbo", 31.34, 49.39),
        ("deepseek-coder-6.7b-instruct", 45.68, 62.25),
        ("okanagan-gpt-3.5", 39.62, 56.98),
        ("codellama-13b-instruct", 19.35, 37.79),
    ],
)
def test_the_recorded_programs_pass_as_often_as_published(
    name: str, pass_at_1: float, tests: float, tmp_path: Path
) -> None:
    file, out = RECORDED / f"{name}.jsonl.gz", tmp_path / "run"
    assert main(["replay", str(file), "--suite", str(SUITE), "--out", str(out)]) == 0
    row = Published(**json.loads((out / "replay.json").read_text())["published"][-1])
    assert row.pass_at_1 == pytest.approx(pass_at_1, abs=0.6)
    assert row.test_pass_rate == pytest.approx(tests, abs=0.6)


@pytest.mark.parametrize(
    ("reply", "counts"),
    [
        ("Which order?", True),
        ("", True),  # so count the authors
        ("def f(): pass", True),
        ("```python\ndef f(): pass", True),
        ("```python\ndef f(): pass\n```", False),
        ("Sure.\n```\ncode\n```\nWhich order?", False),
    ],
)
def test_communication_is_a_reply_without_a_fenced_block(reply: str, counts: bool) -> None:
    assert communicates(reply) is counts


def test_a_program_is_run_as_the_authors_run_it() -> None:
    plain = Recording("m", "v", ("Which?", ""), ("That.",), "print(1)\ndef candidate(x): return x")
    assert as_executed(plain, "top") == "#print(1)\ndef top(x): return x\ntop\n"
    without = Recording("m", "v", ("```python\ndef candidate(x): return x\n```", ""), ("That.",))
    assert as_executed(without, "top").startswith("def top(x): return x\n")


def test_no_grades_and_no_programs_are_no_rates() -> None:
    row = published("m", [Recording("m", "v", ("Which?",))], [])
    assert (row.communication_rate, row.good_question_rate, row.pass_at_1) == (100.0, None, None)


# ---- recordings


def test_the_three_texts_and_replies_with_answers_are_the_same_recording(tmp_path: Path) -> None:
    replies = ["What should be returned for an empty list?", f"```python\n{RIGHT}\n```"]
    general = {"model": "some-model", "variant": "HumanEval/900/prompt1p", "replies": replies, "answers": ["0."]}
    first, second = read_recordings(write(tmp_path / "r.jsonl", recording(judge_quality=""), general))
    assert (first.variant, first.replies, first.answers) == (second.variant, second.replies, second.answers)
    assert (first.code or "").strip() == (second.code or "").strip() == RIGHT


def test_texts_that_are_null_are_empty(tmp_path: Path) -> None:
    (one,) = read_recordings(write(tmp_path / "r.jsonl", recording(first_reply=None, answer=None, final_code=None)))
    assert (one.replies, one.answers, one.code) == (("",), (), None)


def test_gzip_is_told_by_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(gzip.compress((json.dumps(recording(dup=True)) + "\n").encode()))
    (one,) = read_recordings(path)
    assert (one.model, one.grade, one.counted) == ("some-model-2", 3, True)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"model": "m"}, r"r\.jsonl:2 is no recording: it lacks 'first_reply'"),
        ([1], r"r\.jsonl:2.*found a list"),
        ({"model": "m", "variant": "v", "replies": ["a", "b", "c"], "answers": ["x"]}, r"r\.jsonl:2.*lists"),
    ],
)
def test_a_row_that_is_none_is_named_by_its_line(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(read_recordings(write(tmp_path / "r.jsonl", recording(), row)))


# ---- a replay


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write(tmp_path / "HumanEvalComm.jsonl", ROW)


def test_a_replay_is_a_run_with_the_published_numbers_beside_ours(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = recording(
        category="prompt1a", first_reply="```python\ndef candidate(xs):\n    return xs[0]\n```", answer="",
        judge_quality="0", final_code="def candidate(xs):\n    return xs[0]",
    )  # fmt: skip
    file, out = write(tmp_path / "r.jsonl", recording(), wrong), tmp_path / "run"
    arguments = ["replay", str(file), "--suite", str(suite), "--out", str(out)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "as HumanEvalComm's authors count" in said
    record = json.loads((out / "replay.json").read_text())
    (row,) = record["published"]
    assert (row["communication_rate"], row["good_question_rate"]) == (50.0, 50.0)
    # Without the imports of the statement the annotation is an error, for the authors and not for us.
    assert (row["pass_at_1"], row["test_pass_rate"]) == (0.0, 0.0)
    from clarify_rl.store import Run

    with Run(out) as run:
        episodes = run.read_episodes("eval-some-model-humaneval_comm", run.read_variants("humaneval_comm"))
    asked, coded = episodes
    assert [turn.reply.kind for turn in asked.turns] == [ReplyKind.QUESTION, ReplyKind.CODE]
    assert asked.solved and asked.revealed and asked.turns[0].answer.text == "0."  # type: ignore[union-attr]
    assert (coded.asked, coded.solved, coded.stop) == (False, False, Stop.CODE)
    assert (out / "report.html").is_file()
    before = (out / "comparison.json").read_bytes()
    assert main(arguments) == 0  # goes on with what is there
    assert (out / "comparison.json").read_bytes() == before


def test_rescoring_tells_what_questions_of_each_recorded_grade_earn(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = recording(
        category="prompt1a", first_reply="Is the list long?", answer="", judge_quality="1", final_code="oops"
    )
    code = recording(model="other", first_reply=f"```python\n{RIGHT}\n```", answer="", judge_quality="0")
    file, out = write(tmp_path / "r.jsonl", recording(), bad, code), tmp_path / "run"
    assert main(["replay", str(file), "--suite", str(suite), "--out", str(out)]) == 0
    numbers = tmp_path / "paid.json"
    mix = 'rewards=[{"use": "solved"}, {"use": "useful_question", "weight": 0.5}]'
    assert main(["rescore", str(out), mix, "--out", str(numbers)]) == 0
    assert "by a judge's grade" in capsys.readouterr().out
    rows = {row["judged"]: row for row in json.loads(numbers.read_text())["by_grade"]}
    assert {name: (row["episodes"], row["total"]) for name, row in rows.items()} == {
        "good": (1, 1.5),
        "bad": (1, 0.0),
        "asks nothing": (1, 1.0),
    }


def test_recordings_of_another_suite_are_refused(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "r.jsonl", recording(problem="HumanEval/1"))
    assert main(["replay", str(file), "--suite", str(suite), "--out", str(tmp_path / "run")]) == 2
    assert "1 of 1 recordings are of variants that the suite has not, e.g. 'HumanEval/1/prompt1p'" in " ".join(
        capsys.readouterr().err.split()
    )


def test_two_recordings_of_one_variant_are_refused(
    tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "r.jsonl", recording(), recording())
    assert main(["replay", str(file), "--suite", str(suite), "--out", str(tmp_path / "run")]) == 2
    assert '"dup": true' in capsys.readouterr().err


def test_kappa_is_what_agreement_has_beyond_chance() -> None:
    assert kappa([(True, True), (False, False)]) == 1.0
    assert kappa([(True, False), (False, True)]) == -1.0
    assert kappa([(True, True), (True, False), (False, True), (False, False)]) == 0.0
    assert kappa([(True, True)]) is None
