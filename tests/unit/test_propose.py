"""Facts that a model names: believed where programs differ, guesses do not meet them, and its own code passes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.cli import main
from clarify_rl.config import Config
from clarify_rl.eval_sections import EvalConfig, ServerConfig
from clarify_rl.executor import Executor, Trial
from clarify_rl.pipeline.propose import UNPROVED, Proposals, propose_named
from clarify_rl.problems.made import Made
from clarify_rl.types import Defect
from tests.serving import Reply, serving

STATEMENT = "Write a function to count the words of a text that are longer than a limit."
REST = "Write a function to count the long words of a text."
REFERENCE = "def count_long(text, limit):\n    return sum(len(word) > limit for word in text.split())\n"
OTHER = REFERENCE.replace("> limit", ">= limit")
INPUTS = [("a bb ccc dddd", 2), ("one two three", 3), ("yes no", 2), ("x yy zzz", 1)]
FACT = {
    "kind": "bounds",
    "rest": REST,
    "decided": "A word is long when it has more letters than the limit.",
    "answer": "More letters than the limit.",
    "otherwise": "A word is long when it has at least as many letters as the limit.",
    "other_answer": "As many letters as the limit are enough.",
    "program": f"```python\n{OTHER}```",
    "questions": ["Is a word as long as the limit long?", "What about words that just meet the limit?"],
    "vague": "A word is long by the limit.",
}


@pytest.fixture
def source(tmp_path: Path) -> str:
    names: dict[str, Any] = {}
    exec(REFERENCE, names)
    row = {
        "id": "long",
        "statement": STATEMENT,
        "entry_point": "count_long",
        "solution": REFERENCE,
        "tests": [[list(args), names["count_long"](*args)] for args in INPUTS],
    }
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return f"rows,path={path}"


def engineer(said: str, fact: object = FACT, guess: str = REFERENCE) -> str:
    """Proposes the fact; guesses where it is told only the rest; else does as it is told."""
    if said.startswith("Below are"):
        return json.dumps({"facts": [fact]})
    told = [code for words, code in ((FACT["decided"], REFERENCE), (FACT["otherwise"], OTHER)) if str(words) in said]
    return f"```python\n{told[0] if told else guess}```"


def proposed(source: str, out: Path, answer: Callable[[str, int], Reply], **server: Any) -> Proposals:
    config = Config(eval=EvalConfig(server=ServerConfig(**{"retries": 4, "timeout_s": 5.0, **server})))
    with serving(answer) as spec:
        return propose_named([source], [], out, spec, config)


def test_a_fact_that_a_model_names_gives_the_three_kinds_with_proof(source: str, tmp_path: Path) -> None:
    out = tmp_path / "told.jsonl"
    came = proposed(source, out, lambda said, _: engineer(said))
    variants = list(Made(str(out)).variants())
    unclear = [variant for variant in variants if variant.facts]
    assert (came.problems, came.with_facts, came.variants, dict(came.lost)) == (1, 1, len(variants), {})
    assert {variant.facts[0].defect for variant in unclear} == set(Defect)
    for variant in unclear:
        (fact,) = variant.facts
        assert fact.statement == FACT["otherwise"]  # the guess is what the statement was, so that is not the truth
        assert fact.answers == (FACT["other_answer"],)
        assert fact.questions == tuple(FACT["questions"])
        assert all(telling.tests >= 3 for telling in fact.told_by)
        assert variant.prompt.startswith(REST)
        assert fact.defect is Defect.INCONSISTENT or fact.statement not in variant.prompt
        with Executor() as executor:
            assert executor.run_trial(Trial(OTHER, "count_long", variant.problem.tests)).solved
            assert not executor.run_trial(Trial(REFERENCE, "count_long", variant.problem.tests)).solved


def test_what_the_model_does_unasked_is_never_the_truth(source: str, tmp_path: Path) -> None:
    out = tmp_path / "told.jsonl"
    proposed(source, out, lambda said, _: engineer(said, guess=OTHER))
    truths = {fact.statement for variant in Made(str(out)).variants() for fact in variant.facts}
    assert truths == {FACT["decided"]}


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        ({**FACT, "program": REFERENCE}, UNPROVED),
        ({**FACT, "program": "def count_long(text, limit):\n    return undefined\n"}, UNPROVED),
        ({**FACT, "program": "def count_long(text"}, UNPROVED),
        ({**FACT, "rest": "Sort the numbers."}, "the rest is another statement"),
        ({**FACT, "rest": f"{REST} {FACT['decided']}"}, "the rest still tells it"),
        ({**FACT, "questions": []}, "a fact without all of its fields"),
        ("a bound", "a fact without all of its fields"),
    ],
)
def test_what_cannot_be_proved_is_lost_and_its_reason_counted(
    source: str, tmp_path: Path, fact: object, why: str
) -> None:
    came = proposed(source, tmp_path / "told.jsonl", lambda said, _: engineer(said, fact))
    assert came.variants == 0
    assert why in came.lost


@pytest.mark.parametrize("reply", ["I would rather not.", '{"facts": 7}', '{"facts": [', "[]"])
def test_a_reply_without_facts_is_told_of(source: str, tmp_path: Path, reply: str) -> None:
    came = proposed(source, tmp_path / "told.jsonl", lambda *_: reply)
    assert (came.variants, dict(came.lost)) == (0, {"no JSON with facts": 1})


def test_a_variant_is_lost_where_the_models_own_code_fails_told_everything(source: str, tmp_path: Path) -> None:
    def careless(said: str, _: int) -> Reply:
        return engineer(said) if said.startswith("Below are") else f"```python\n{REFERENCE}```"

    came = proposed(source, tmp_path / "told.jsonl", careless)
    assert (came.variants, list(came.lost)) == (0, ["told everything, its own code fails"])


def test_problems_without_a_reply_are_asked_about_again_and_others_are_not(source: str, tmp_path: Path) -> None:
    out = tmp_path / "told.jsonl"
    asked: list[str] = []

    def down(said: str, _: int) -> Reply:
        return 500 if "```python" in said else engineer(said)

    def up(said: str, _: int) -> Reply:
        asked.append(said)
        return engineer(said)

    first = proposed(source, out, down, retries=0)
    assert (first.problems, first.unanswered) == (0, 1)
    second = proposed(source, out, up)
    assert (second.with_facts, second.unanswered) == (1, 0)
    count = len(asked)
    assert proposed(source, out, up) == second
    assert len(asked) == count


def test_a_server_is_given_the_schema_unless_it_refuses_one(source: str, tmp_path: Path) -> None:
    forms: list[object] = []
    for use in (True, False):
        with serving(lambda said, _: engineer(said), forms.append) as spec:
            config = Config(eval=EvalConfig(server=ServerConfig(json_schema=use)))
            propose_named([source], [], tmp_path / f"{use}.jsonl", spec, config)
    formed = [body["response_format"]["type"] for body in forms if isinstance(body, dict) and "response_format" in body]
    assert formed == ["json_schema"]
    assert (tmp_path / "True.jsonl").read_text() == (tmp_path / "False.jsonl").read_text()


def test_the_command_estimates_first_and_a_local_model_may_be_asked_too(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "propose", source, "--model", "embedded", "--out", str(tmp_path / "out.jsonl")]
    assert main([*command, "--estimate"]) == 0
    assert re.search(r"1 problems, about 3 requests and more each, about [\d,]+ tokens", capsys.readouterr().out)
    assert main(command) == 0
    assert "0 variants of 0 of 1 problems" in capsys.readouterr().out
