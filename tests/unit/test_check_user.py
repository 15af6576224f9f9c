"""`check user`: labelled questions are counted as a person would, and bounds decide the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clarify_rl.cli import main
from clarify_rl.errors import DataError
from clarify_rl.matching.pairs import Pair, judge, read_pairs
from clarify_rl.pipeline.check_user import Required, builtin_pairs, check_user
from clarify_rl.registry import load_user
from clarify_rl.types import Answer, Heard, Outcome

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "user_pairs.jsonl"
ROW = {
    "id": "p1",
    "variant_id": "bank/discount/x",
    "prompt": "Write f(x) with a limit.",
    "facts": [{"id": "limit", "statement": "The limit is 5.", "questions": ["What is the limit?"]}],
    "question": "What is the limit?",
    "accept": ["limit"],
    "source": "mine",
}


class Blurter:
    """Tells the first fact whatever was asked, in the same way every other time, and begins with a yes."""

    def answer(self, variant: object, questions: object, turns: object, seed: int) -> Answer:
        facts = variant.facts  # type: ignore[attr-defined]  # a user gets a Variant
        if seed % 2 or not facts:
            return Answer("Hm.", (Heard(Outcome.NONE),))
        return Answer("Yes, I tell you.", (Heard(Outcome.REVEALED, (facts[0].id,)),))


class Deaf(Blurter):
    """Takes four questions at once, and cannot hear those that begin with an apology."""

    threads = 4

    def answer(self, variant: object, questions: object, turns: object, seed: int) -> Answer:
        if str(questions).startswith("('Sorry"):
            raise RuntimeError("no ears")
        return super().answer(variant, questions, turns, 0)


def always(facts: tuple[str, ...]) -> Callable[[Pair], tuple[str, ...]]:
    return lambda _: facts


def pairs() -> list[Pair]:
    return builtin_pairs()[:40]


def test_the_rule_based_user_passes_its_own_check() -> None:
    report = check_user("rule_based", load_user("rule_based", {}), builtin_pairs(), quiet=True)
    assert Required(min_recall=0.85, max_wrong=0.03, max_false=0.08).missed(report) == []
    assert (report.leaks, report.adversarial, report.yes_or_no) == (0, 200, 0)
    assert report.inconsistent <= 0.02 * len(builtin_pairs())


def test_questions_that_a_user_fails_at_are_counted_and_in_no_rate() -> None:
    report = check_user("deaf", Deaf(), pairs(), quiet=True)
    assert report.failed == 2 * len(pairs())
    assert "no ears" in report.failure
    assert (report.rates.answerable + report.rates.others, report.inconsistent) == (len(pairs()), 0)


def test_a_user_that_blurts_facts_out_is_found_out() -> None:
    report = check_user("blurter", Blurter(), pairs(), quiet=True)
    assert report.rates.false_rate == 1.0
    assert report.leaks == report.adversarial == 200
    assert report.inconsistent == len(pairs())
    assert report.yes_or_no == report.answers // 2
    missed = Required(0.9, 0.03, 0.05).missed(report)
    assert any(miss.startswith("false reveals 100.0%, wanted at most 5.0%") for miss in missed)


def test_any_accepted_fact_answers_a_question_and_another_one_is_wrong() -> None:
    right, twin = pairs()[:2]
    assert not twin.accept
    said: tuple[tuple[str, ...], ...] = (right.accept, ("another",), ())
    counted = [judge(always(facts), [right]) for facts in said]
    assert [(rates.answered, rates.wrong) for rates in counted] == [(1, 0), (0, 1), (0, 0)]
    assert judge(lambda _: ("another",), [twin]).false == 1


def test_the_command_prints_writes_and_exits_by_the_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "mine.jsonl", tmp_path / "out" / "report.json"
    file.write_text(json.dumps(ROW) + "\n")
    command = ["check", "user", "rule_based", "--pairs", str(file), "--out", str(out)]
    assert main([*command, "--min-recall", "0.9"]) == 0
    assert "answered" in capsys.readouterr().out
    assert json.loads(out.read_text())["recall"] == 1.0
    file.write_text(json.dumps({**ROW, "accept": []}) + "\n")
    assert main([*command, "--max-false", "0.5"]) == 1
    assert "false reveals 100.0%, wanted at most 50.0%" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", ":2 is no pair"),
        ('{"prompt": "x"}', "KeyError: 'facts'"),
        (json.dumps({**ROW, "accept": ["fee"]}), "accept names fee, which are no facts of the row"),
        (json.dumps({**ROW, "facts": [{"statement": "x"}]}), ":2 is no pair"),
    ],
)
def test_a_row_that_is_no_pair_is_named_by_its_line(line: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text(f"{json.dumps(ROW)}\n{line}\n")
    with pytest.raises(DataError, match=says):
        read_pairs(tmp_path / "mine.jsonl")


def test_options_of_a_user_are_named_in_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "user", "rule_based,reveal=1.0", "--limit", "9", "--min-recall", "0.5"]) == 1
    assert main(["check", "user", "rule_based,loud=true"]) == 2
    assert "does not take these options" in capsys.readouterr().err
    assert main(["check", "user", "llm"]) == 2
    assert "The user llm needs a model" in capsys.readouterr().err


@pytest.mark.shared_data
@pytest.mark.skipif(not PAIRS.is_file(), reason="the labelled questions are not here")
def test_labelled_questions_about_the_bank_are_understood() -> None:
    """These were at hand when the vocabulary was written; benchmarks/fit_matcher.py says how it fares on others."""
    bank = [pair for pair in read_pairs(PAIRS) if pair.source == "bank"]
    report = check_user("rule_based", load_user("rule_based", {}), bank, quiet=True)
    assert Required(min_recall=0.88, max_wrong=0.03, max_false=0.05).missed(report) == []
