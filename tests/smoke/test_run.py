"""The real command on a tiny configuration: every stage, every file, and the same result each time."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset

from clarify_rl.cli import main
from clarify_rl.policies.models import load_model

CONFIG = """
data:
  demonstrated: [count_beyond, chunk_list]
  held_out: [points_beyond]
  sft: {count: 24}
  sft_dev: {count: 8}
  rl: {count: 8, clear_share: 0.25}
dialogue: {max_questions: 2, turn_tokens: 96, total_tokens: 256}
sft:
  trainer:
    {max_steps: 2, eval_strategy: steps, eval_steps: 1, save_strategy: steps, save_steps: 1, learning_rate: 5.0e-4}
rl:
  trainer:
    {max_steps: 2, save_steps: 1, num_generations: 4, per_device_train_batch_size: 4, gradient_accumulation_steps: 2}
eval:
  suites:
    held_out: {families: held_out, count: 6}
    trained: {families: trained, count: 4}
"""
STAGES = ["data", "sft", "rl", "eval-base", "eval-sft", "eval-rl"]
SUITES = ("held_out", "trained")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the configuration and its finished run, runs/first."""
    folder, before = tmp_path_factory.mktemp("smoke"), Path.cwd()
    (folder / "tiny.yaml").write_text(CONFIG, encoding="utf-8")
    os.chdir(folder)
    try:
        assert main(["run", "tiny.yaml", "name=first"]) == 0
        yield folder
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def second(folder: Path) -> Path:
    """The same run once more, in another folder."""
    assert main(["run", "tiny.yaml", "name=second"]) == 0
    return folder / "runs" / "second"


def rows(path: Path) -> list[dict[str, object]]:
    """Rows without what a clock or a scheduler decides."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in found:
        for name in ("cpu_s", "wall_s"):
            (row["execution"] or {}).pop(name, None)
    return found


def test_a_run_leaves_everything_in_its_folder(folder: Path) -> None:
    run = folder / "runs" / "first"
    assert {path.stem for path in (run / "stages").iterdir()} == {
        "data", "sft", "rl", *(f"eval-{name}-{suite}" for name in ("base", "sft", "rl") for suite in SUITES)
    }  # fmt: skip
    assert {path.stem for path in (run / "data").iterdir()} == {"sft", "sft_dev", "rl", "held_out", "trained"}
    for name in ("sft", "rl"):
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
            path.name for path in (run / "models" / name).iterdir()
        }
    episodes = {path.stem: len(rows(path)) for path in (run / "episodes").iterdir()}
    assert episodes == {"rl": 16} | {f"eval-{c}-held_out": 6 for c in ("base", "sft", "rl")} | {
        f"eval-{c}-trained": 4 for c in ("base", "sft", "rl")
    }
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in metrics if row["stage"] == "rl" and "reward/total" in row] == [1, 2]
    assert json.loads((run / "run.json").read_text(encoding="utf-8"))["command"] == (
        "clarify-rl run tiny.yaml name=first"
    )
    comparison = json.loads((run / "comparison.json").read_text(encoding="utf-8"))
    assert (comparison["checkpoints"], comparison["suites"]) == (["base", "sft", "rl"], ["held_out", "trained"])
    assert 'id="data">' in (run / "report.html").read_text(encoding="utf-8")


def test_resuming_a_finished_run_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = folder / "runs" / "first"
    before = {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}
    assert main(["run", "tiny.yaml", "name=first", "--resume"]) == 0
    out = capsys.readouterr().out
    assert [stage for stage in STAGES if f"{stage}: complete already" in out] == STAGES
    assert f"clarify-rl compare {Path('runs') / 'first'} --full" in " ".join(out.split())
    assert {path: path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()} == before


def test_one_seed_gives_the_same_episodes_and_the_same_bytes(folder: Path, second: Path) -> None:
    first = folder / "runs" / "first"
    assert (first / "comparison.json").read_bytes() == (second / "comparison.json").read_bytes()
    for path in sorted((first / "episodes").iterdir()):
        assert rows(path) == rows(second / "episodes" / path.name), path.name


def test_an_interrupted_rl_stage_goes_on_to_the_same_result(folder: Path, second: Path) -> None:
    first = folder / "runs" / "first"
    shutil.rmtree(second / "models" / "rl")
    shutil.rmtree(second / "checkpoints" / "rl" / "checkpoint-2")
    for stage in ("rl", *(f"eval-rl-{suite}" for suite in SUITES)):
        (second / "stages" / f"{stage}.json").unlink()
    assert main(["run", "tiny.yaml", "name=second", "--resume"]) == 0
    assert rows(first / "episodes" / "rl.jsonl") == rows(second / "episodes" / "rl.jsonl")
    assert (first / "comparison.json").read_bytes() == (second / "comparison.json").read_bytes()


def test_ppo_takes_the_place_of_grpo(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # In four groups: in two, all rewards may be equal, and then there is no variance to explain.
    changed = ["sft=null", "rl.algorithm=ppo", "rl.trainer.max_steps=1", "rl.trainer.gradient_accumulation_steps=4"]
    assert main(["run", "tiny.yaml", "name=ppo", *changed]) == 0
    assert "PPO from embedded on 8 variants" in capsys.readouterr().out
    run = folder / "runs" / "ppo"
    assert {"config.json", "model.safetensors", "critic.safetensors"} <= {
        path.name for path in (run / "models/rl").iterdir()
    }
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    *warned, row = rows  # the base model never asks, which is told of before the first step if enough is unclear
    assert all(each["alarm/gate"] == 1 and each["step"] == 0 for each in warned)
    assert {"train/value_loss", "train/explained_variance", "train/advantage_std"} <= row.keys()
    assert json.loads((run / "comparison.json").read_text(encoding="utf-8"))["checkpoints"] == ["base", "rl"]


def test_rl_goes_on_with_sfts_adapter_and_it_is_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lora = ["sft.lora.r=4", "sft.lora.target_modules=all-linear", "rl.lora=continue", "rl.trainer.max_steps=1"]
    for stage in ("data", "sft", "rl"):
        assert main([stage, "tiny.yaml", "name=lora", "rl.trainer.beta=0.1", *lora]) == 0
    assert "GRPO from runs/lora/models/sft/adapter on 8 variants" in capsys.readouterr().out
    assert main(["export", "runs/lora/models/rl", "--adapter", "--out", "adapter"]) == 0
    assert "its base is" in capsys.readouterr().out
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= {
        path.name for path in (folder / "adapter").iterdir()
    }


def test_a_watched_run_keeps_the_best_policy_and_says_which(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watching = ["rl.evaluation.every=1", "data.rl_dev.count=3", "rl.health.window=1", "rl.health.zero_variance=0.0"]
    assert main(["run", "tiny.yaml", "name=watched", "sft=null", "rl.trainer.max_steps=1", *watching]) == 0
    run = folder / "runs" / "watched"
    out = capsys.readouterr().out
    assert re.search(r"models/rl is the policy of step \d, the best of 2 held-out evaluations: reward \d", out)
    assert "Warning at step 1: Little is left to learn from" in out
    played = rows(run / "episodes" / "rl-dev.jsonl")
    variants = [row["id"] for row in map(json.loads, (run / "data" / "rl_dev.jsonl").read_text().splitlines())]
    assert [(row["step"], row["variant"]) for row in played] == [(step, each) for step in (0, 1) for each in variants]
    assert "the best of 2 held-out evaluations" in json.loads((run / "run.json").read_text())["models/rl"]


def test_several_runs_are_compared_side_by_side(folder: Path, second: Path) -> None:
    assert main(["compare", "runs/first", "runs/second"]) == 2
    assert main(["compare", "runs/first", "runs/second", "--out", "runs/first"]) == 2
    assert main(["compare", "runs/first", "runs/second", "--out", "both"]) == 0
    comparison = json.loads((folder / "both" / "comparison.json").read_text(encoding="utf-8"))
    assert comparison["checkpoints"] == [
        f"{run}/{name}" for run in ("first", "second") for name in ("base", "sft", "rl")
    ]
    assert (folder / "both" / "report.html").is_file()


def test_sft_says_where_a_user_keeps_what_its_demonstrations_need(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "quiet.py").write_text(
        "from clarify_rl import Answer\n\n\nclass Quiet:\n    def answer(self, variant, questions, turns, seed):\n"
        "        return Answer('I do not know.')\n",
        encoding="utf-8",
    )
    wanted = ["tiny.yaml", "name=quiet", "env.user=quiet.py:Quiet"]
    assert main(["data", *wanted]) == main(["sft", *wanted]) == 0
    said = " ".join(capsys.readouterr().out.split())
    told = re.search(r"In (\d+) of 24 demonstrations the user quiet\.py:Quiet keeps facts to itself", said)
    assert told is not None
    data = [json.loads(line) for line in (folder / "runs/quiet/data/sft.jsonl").read_text().splitlines()]
    assert int(told[1]) == sum(bool(row["facts"]) for row in data)


def test_what_a_comparison_cannot_show_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "tiny.yaml", "name=begun"]) == 0
    assert main(["compare", "runs/first", "runs/begun", "--out", "with_begun"]) == 2
    assert "runs/begun has no finished evaluation. First: clarify-rl eval runs/begun" in capsys.readouterr().err
    assert main(["eval", "runs/begun"]) == 0
    assert main(["compare", "runs/first", "runs/begun", "--out", "with_begun"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "runs/begun: sft is not trained yet, so it is left out" in said


def test_runs_with_other_suites_are_not_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["--model", "embedded", "--model", "rl=runs/first/models/rl"]
    dialogue = ["--instruction", "", "--turn-tokens", "96", "--max-questions", "2"]
    assert main(["eval", *models, "--suite", "bank", "--limit", "3", *dialogue]) == 0
    comparison = json.loads((folder / "runs" / "bank-embedded-rl" / "comparison.json").read_text(encoding="utf-8"))
    assert comparison["checkpoints"] == ["embedded", "rl"]
    capsys.readouterr()
    assert main(["compare", "runs/first", "runs/bank-embedded-rl", "--out", "both"]) == 2
    caught = capsys.readouterr()
    assert "held_out is left out: bank-embedded-rl/embedded, bank-embedded-rl/rl was not evaluated on it" in caught.out
    assert "were evaluated on no variant in common" in caught.err


def test_kept_episodes_are_scored_by_other_rewards_and_stay_as_they_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = sorted((folder / "runs" / "first" / "episodes").glob("*.jsonl"))
    before = [file.read_bytes() for file in files]
    assert main(["rescore", "runs/first", "--out", "own.json"]) == 0
    own = json.loads((folder / "own.json").read_text(encoding="utf-8"))["paid"]
    assert own and all(row["total"] == pytest.approx(row["before"]) for row in own)
    rewards = "rewards=[{use: solved}, {use: ask_f1, weight: 0.5}]"
    assert main(["rescore", "runs/first", rewards, "--out", "other.json"]) == 0
    assert "ask_f1" in capsys.readouterr().out
    for row in json.loads((folder / "other.json").read_text(encoding="utf-8"))["paid"]:
        assert row["total"] == pytest.approx(row["rewards"]["solved"] + 0.5 * row["rewards"]["ask_f1"])
    assert [file.read_bytes() for file in files] == before
    assert main(["rescore", "runs/first", "seed=3"]) == 2
    assert "Only rewards can be changed here" in capsys.readouterr().err


def test_you_can_play_against_the_newest_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1\n" * 5))
    assert main(["play", "--config", "tiny.yaml", "name=first", "--kind", "incomplete", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    assert "You are the user of runs/first/models/rl." in out
    assert "What the model reads" in out
    assert "hidden tests pass" in out or "No code" in out


def test_a_checkpoint_is_published_with_its_card_and_numbers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", "runs/first", "--out", "published", "--with-dialogues"]) == 0
    out = folder / "published"
    card = (out / "README.md").read_text(encoding="utf-8")
    meta, body = card.split("---\n")[1:3]
    assert yaml.safe_load(meta)["tags"] == ["clarify-rl", "trl"]
    assert "# first, rl: rl solves" in body and "| held_out | rl | 6 |" in body
    assert {"model.safetensors", "comparison.json", "config.yaml", "report.html", "training.html"} <= {
        path.name for path in out.iterdir()
    }
    rows = load_dataset("parquet", data_files=str(out / "episodes" / "rl-held_out.parquet"), split="train")
    assert len(rows) == 6 and rows[0]["messages"][0]["role"] == "user"
    assert load_model(str(out)).model.num_parameters() > 0
    assert main(["publish", "runs/first", "--out", "published"]) == 2
    assert "published is not empty" in capsys.readouterr().err
    assert main(["publish", "runs/first", "--checkpoint", "base", "--out", "other"]) == 2
    assert "Known: rl, sft" in capsys.readouterr().err


def test_without_dialogues_nothing_published_quotes_a_problem(folder: Path) -> None:
    assert main(["publish", "runs/first", "--checkpoint", "sft", "--out", "bare"]) == 0
    names = {path.name for path in (folder / "bare").iterdir()}
    assert not names & {"report.html", "training.html", "episodes"} and "model.safetensors" in names
