"""Variants judged by what a model's code does: kept where being told helps, with the gap by edit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from clarify_rl.cli import main
from clarify_rl.config import Config
from clarify_rl.eval_sections import EvalConfig, ServerConfig
from clarify_rl.executor import Executor
from clarify_rl.pipeline.judge import Judgement, judge_named, print_judgements, told
from clarify_rl.pipeline.make import make
from clarify_rl.problems.made import Made
from clarify_rl.registry import load_source
from clarify_rl.types import Variant
from tests import own_problems
from tests.serving import Reply, serving

NOTHING = "```python\npass\n```"


@pytest.fixture(scope="module")
def unclear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unclear")
    path = own_problems.write(folder / "mine.jsonl")
    options = dict(item.split("=") for item in own_problems.FIELDS.split(","))
    with Executor() as executor:
        make([load_source("rows", {"path": str(path), **options})], [], executor, folder / "unclear.jsonl", limit=2)
    return folder / "unclear.jsonl"


def variants(path: Path) -> list[Variant]:
    return [variant for variant in Made(str(path)).variants() if variant.facts]


def judged(
    unclear: Path, out: Path, answer: Callable[[str, int], Reply], *, retries: int = 4, **options: Any
) -> tuple[list[Judgement], int]:
    with serving(answer) as spec:
        config = Config(eval=EvalConfig(server=ServerConfig(retries=retries)))
        return judge_named(unclear, out, spec, config, **options)


def knowing(unclear: Path, *ways: str) -> Callable[[str, int], Reply]:
    """A model that writes the reference where a problem is put to it in one of these ways."""
    texts = {}
    for variant in reversed(variants(unclear)):  # of those that read alike, the first is known
        own = {"unclear": variant.prompt, "told": told(variant), "clear": variant.problem.prompt}
        texts.update({text: variant.problem.solution if way in ways else "pass" for way, text in own.items()})
    return lambda said, _: f"```python\n{texts[said.partition(chr(10) * 2)[2]]}\n```"


def test_what_is_solved_only_when_told_is_kept_behind_its_clear_twin(unclear: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"
    judgements, unanswered = judged(unclear, out, knowing(unclear, "told", "clear"))
    assert unanswered == 0
    assert {(item.unclear, item.told, item.clear, item.lost()) for item in judgements} == {(0, 1, 1, "")}
    kept = list(Made(str(out)).variants())
    assert [variant.id for variant in kept[1::2]] == [variant.id for variant in variants(unclear)]
    assert all(
        clear.is_clear and clear.problem == own.problem for clear, own in zip(kept[::2], kept[1::2], strict=True)
    )


@pytest.mark.parametrize(
    ("ways", "why"),
    [
        (("unclear", "told", "clear"), "solved without asking every time"),
        ((), "never solved, however clear"),
    ],
)
def test_what_hides_nothing_or_is_too_hard_is_left_out(
    unclear: Path, tmp_path: Path, ways: tuple[str, ...], why: str
) -> None:
    judgements, _ = judged(unclear, tmp_path / "judged.jsonl", knowing(unclear, *ways), limit=1)
    assert {item.lost() for item in judgements} == {why}
    assert (tmp_path / "judged.jsonl").read_text() == ""


def test_an_answer_that_does_not_help_is_found() -> None:
    assert Judgement(("order",), 4, unclear=2, told=2, clear=1).lost() == "the answer does not help"
    assert Judgement(("order",), 4, unclear=2, told=3, clear=1).lost() == ""


def test_variants_without_a_reply_are_judged_the_next_time(unclear: Path, tmp_path: Path) -> None:
    out, right = tmp_path / "judged.jsonl", knowing(unclear, "told", "clear")
    first = variants(unclear)[0]
    down: Callable[[str, int], Reply] = lambda said, number: 500 if first.prompt in said else right(said, number)  # noqa: E731
    judgements, unanswered = judged(unclear, out, down, retries=0)
    assert unanswered > 0
    again, left = judged(unclear, out, right)
    assert (len(again), left) == (len(judgements) + unanswered, 0)


def test_the_table_shows_the_gap_that_asking_can_close_by_edit() -> None:
    console = Console(record=True, width=100)
    print_judgements([Judgement(("order",), 4, 1, 3, 4), Judgement(("ties",), 4, 4, 4, 4)], console)
    rows = {line.split()[1]: line.split() for line in console.export_text().splitlines() if "%" in line}
    assert rows["order"][3:12:2] == ["1", "25.0%", "75.0%", "100.0%", "+50.0"]
    assert rows["all"][3:12:2] == ["2", "62.5%", "87.5%", "100.0%", "+25.0"]


def test_the_command_estimates_and_a_local_model_may_be_asked(
    unclear: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "data",
        "judge",
        str(unclear),
        "--model",
        "embedded",
        "--out",
        str(tmp_path / "out.jsonl"),
        "--limit",
        "2",
    ]
    assert main([*command, "--estimate", "--samples", "2"]) == 0
    assert "2 variants, 12 requests, about" in capsys.readouterr().out
    assert main(command) == 0
    assert "of 2 kept" in capsys.readouterr().out


def test_the_file_of_what_is_decided_holds_every_count(unclear: Path, tmp_path: Path) -> None:
    out = tmp_path / "judged.jsonl"
    judged(unclear, out, lambda *_: NOTHING, samples=2, limit=1)
    ((_, lines, note),) = map(json.loads, (tmp_path / "judged.jsonl.done").read_text().splitlines())
    fields = json.loads(note)
    assert (lines, fields["samples"], fields["unclear"], fields["told"], fields["clear"]) == (0, 2, 0, 0, 0)
