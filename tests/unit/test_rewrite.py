"""Statements in a model's words: believed where its own code passes, with nothing lost when a server fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.cli import main
from clarify_rl.config import Config
from clarify_rl.eval_sections import EvalConfig, ServerConfig
from clarify_rl.executor import Executor
from clarify_rl.pipeline.make import make
from clarify_rl.pipeline.rewrite import Rewrites, rewrite_named, taken_apart
from clarify_rl.problems.made import Made
from clarify_rl.registry import load_source
from clarify_rl.types import Variant
from tests import own_problems
from tests.serving import Reply, serving

SOLUTIONS = {str(row["function"]): str(row["answer"]) for row in own_problems.rows()}


@pytest.fixture(scope="module")
def unclear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unclear")
    path = own_problems.write(folder / "mine.jsonl")
    options = dict(item.split("=") for item in own_problems.FIELDS.split(","))
    with Executor() as executor:
        make([load_source("rows", {"path": str(path), **options})], [], executor, folder / "unclear.jsonl", limit=3)
    return folder / "unclear.jsonl"


def colleague(said: str, _number: int) -> Reply:
    """Rewrites plainly, and solves by the solutions that belong to what it reads."""
    if said.startswith("Below is"):
        base = said.partition("\n\n")[2]
        return "Sure! " + json.dumps({"statement": f"I need something: {base.removeprefix('Write a function to ')}"})
    return coded(said)


def coded(said: str) -> str:
    """The reference of the very variant that is asked for, as the clear statement tells it."""
    told = [
        variant
        for variant in KNOWN.values()
        if all(fact.statement in said for fact in variant.facts) and base_of(variant)[-30:] in said
    ]
    best = max(told, key=lambda variant: len(variant.facts), default=None)
    return f"```python\n{best.problem.solution}```" if best else "```python\npass\n```"


KNOWN: dict[str, Variant] = {}


def base_of(variant: Variant) -> str:
    return taken_apart(variant).base.removeprefix("Write a function to ")


def rewritten(unclear: Path, out: Path, answer: Callable[[str, int], Reply], **options: Any) -> Rewrites:
    KNOWN.update({variant.id: variant for variant in Made(str(unclear)).variants() if variant.facts})
    config = Config(eval=EvalConfig(server=ServerConfig(**{"retries": 4, "timeout_s": 5.0, **options})))
    with serving(answer) as spec:
        return rewrite_named(unclear, out, spec, config)


def test_what_the_model_can_solve_from_its_own_words_is_kept_with_its_clear_twin(unclear: Path, tmp_path: Path) -> None:
    out = tmp_path / "voiced.jsonl"
    came = rewritten(unclear, out, colleague)
    old = {variant.id: variant for variant in Made(str(unclear)).variants() if variant.facts}
    new = list(Made(str(out)).variants())
    assert came.asked == len(old)
    assert came.kept > 0.8 * came.asked, came
    assert len(new) == 2 * came.kept
    for clear, variant in zip(new[::2], new[1::2], strict=True):
        before = old[variant.id.removesuffix("/voiced")]
        assert variant.prompt.startswith("I need something")
        assert (variant.facts, variant.problem.tests) == (before.facts, before.problem.tests)
        assert clear.is_clear
        assert all(fact.statement in clear.prompt for fact in variant.facts)
        for fact in variant.facts:
            assert fact.defect == "inconsistent" or fact.statement not in variant.prompt


def test_nothing_is_lost_to_a_server_that_is_busy_or_hangs_up(unclear: Path, tmp_path: Path) -> None:
    def moody(said: str, number: int) -> Reply:
        if number == 5:
            return None  # hangs up: the client waits a little before it asks again
        return (429, 503)[number % 2] if number % 3 else colleague(said, number)

    calm = rewritten(unclear, tmp_path / "calm.jsonl", colleague)
    assert rewritten(unclear, tmp_path / "moody.jsonl", moody, retries=60).kept == calm.kept
    assert (tmp_path / "moody.jsonl").read_text() == (tmp_path / "calm.jsonl").read_text()


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("I would rather not.", "no JSON with a statement"),
        ('{"statement": 7}', "no JSON with a statement"),
        ('{"statement": "cut o', "no JSON with a statement"),
        (json.dumps({"statement": "long " * 900}), "far longer than the original"),
        (
            json.dumps(
                {"statement": "Do it, in descending order, as a tuple, rounded to two decimals, 'Yes' or 'No'."}
            ),
            "",
        ),
    ],
)
def test_what_is_no_rewrite_is_counted_by_its_reason(unclear: Path, tmp_path: Path, reply: str, why: str) -> None:
    came = rewritten(unclear, tmp_path / "out.jsonl", lambda said, number: reply if "Below" in said else coded(said))
    assert came.kept == 0
    assert set(came.lost) == {why} if why else came.lost["it tells what it was to keep back"] > 0
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_a_rewrite_that_nobody_could_solve_is_not_believed(unclear: Path, tmp_path: Path) -> None:
    wrong: Callable[[str, int], Reply] = lambda said, number: (  # noqa: E731 - one line of a server
        colleague(said, number) if "Below" in said else "```python\ndef f(): pass\n```"
    )
    came = rewritten(unclear, tmp_path / "out.jsonl", wrong)
    assert came.kept == 0
    assert came.lost["its own words do not lead to code that passes"] > 0


def test_an_interrupted_one_goes_on_and_asks_nothing_twice(unclear: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def noted(said: str, number: int) -> Reply:
        asked.append(said)
        return colleague(said, number)

    rewritten(unclear, tmp_path / "whole.jsonl", colleague)
    KNOWN.update({variant.id: variant for variant in Made(str(unclear)).variants() if variant.facts})
    with serving(noted) as spec:
        rewrite_named(unclear, tmp_path / "two.jsonl", spec, Config(), limit=5)
        first = len(asked)
        rewrite_named(unclear, tmp_path / "two.jsonl", spec, Config())
        rewrite_named(unclear, tmp_path / "two.jsonl", spec, Config())
    assert (tmp_path / "two.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
    assert 5 <= first <= 10
    rewrites = [said for said in asked if said.startswith("Below")]
    assert len(rewrites) == len([variant for variant in Made(str(unclear)).variants() if variant.facts])


def test_the_command_estimates_first_and_a_local_model_may_be_asked_too(
    unclear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    asked = ["data", "rewrite", str(unclear), "--model", "embedded", "--out", str(out), "--limit", "2"]
    assert main([*asked, "--estimate"]) == 0
    assert re.search(r"2 variants, 2 requests each, about [\d,]+ tokens", capsys.readouterr().out)
    assert not out.exists()
    assert main(asked) == 0
    assert "0 of 2 kept" in capsys.readouterr().out  # it writes functions, not JSON


def test_a_statement_is_taken_apart_by_its_lines(unclear: Path) -> None:
    variants: Mapping[str, Variant] = {
        variant.id: variant for variant in Made(str(unclear)).variants() if variant.facts
    }
    for variant in variants.values():
        part = taken_apart(variant)
        assert part.base.startswith("Write a function to")
        assert sorted("\n".join(filter(None, [part.base, *part.shown, part.call])).split("\n")) == sorted(
            variant.prompt.split("\n")
        )
