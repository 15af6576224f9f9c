"""The variants of an evaluation suite."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.cli import main
from clarify_rl.config import Config
from clarify_rl.config_files import load_config, saved_config, to_yaml
from clarify_rl.errors import ConfigError
from clarify_rl.pipeline import evaluate as evaluate_module
from clarify_rl.pipeline.data import family_roles, make_data, suite_variants, told
from clarify_rl.pipeline.eval_cache import digest_of_model, key_of
from clarify_rl.pipeline.evaluate import read_results
from clarify_rl.pool import LocalPool
from clarify_rl.problems.bank.families import FAMILIES
from clarify_rl.store import Run
from clarify_rl.types import Episode
from tests.dialogues import ASK, DESC, SPEC, UNCLEAR, play

SMALL = ["eval.suites.new_instances.count=6"]


def variants(*overrides: str) -> list[str]:
    config = load_config("demo", [*SMALL, *overrides])
    return [variant.id for variant in suite_variants(config, "new_instances", config.eval.suites["new_instances"])]


def test_a_suite_holds_the_same_variants_for_every_seed_of_training() -> None:
    assert variants("seed=0") == variants("seed=1")


def test_another_draw_of_a_suite_holds_other_variants() -> None:
    assert not set(variants()) & set(variants("eval.suites.new_instances.draw=1"))


def test_a_suite_of_the_dev_split_shares_no_variant_with_the_test_split() -> None:
    assert not set(variants()) & set(variants("eval.suites.new_instances.split=dev"))


# ---- the circumstances of a suite


def test_a_suite_is_played_again_under_each_circumstance_that_is_named() -> None:
    config = load_config("demo", ["eval.also=[silent, told]", "eval.users.other.use=rule_based"])
    names = [name for name in config.suites if name.startswith("new_instances")]
    assert names == ["new_instances", "new_instances@silent", "new_instances@told", "new_instances@other"]
    silent, told_all, other = (config.suites[name] for name in names[1:])
    assert (silent.user, silent.max_questions, silent.told) == ("silent", None, False)
    assert (told_all.max_questions, told_all.told) == (0, True)
    assert (other.user, other.max_questions) == ("other", None)


def test_a_name_that_circumstances_are_made_of_is_refused() -> None:
    for changed in ("eval.users.silent.use=rule_based", "eval.suites.a@b.count=3"):
        with pytest.raises(ConfigError, match="is taken"):
            load_config("demo", [changed])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("eval.users.other.use=rule_basd", "Did you mean 'rule_based'"),
        ("eval.suites.new_instances.user=unseen", r"eval.suites.new_instances: No user named 'unseen'"),
    ],
)
def test_a_user_that_is_none_is_found_before_the_work_starts(
    changed: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "demo", changed, "--dry-run"]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_who_is_told_everything_sees_the_complete_statement_and_has_nothing_to_ask() -> None:
    whole = told(UNCLEAR)
    assert (whole.id, whole.kind, whole.prompt) == (UNCLEAR.id, UNCLEAR.kind, UNCLEAR.problem.prompt)
    assert (whole.facts, whole.stated) == ((), UNCLEAR.facts)


def test_the_comparison_says_what_answers_were_worth_and_what_all_answers_would_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, plugins = tmp_path / "run", Path(__file__).parents[1] / "plugins.py"
    circumstances = ["eval.also=[silent, told]", f"eval.users.mute.use={plugins}:Mute"]
    model = ["--model", "embedded", "--suite", "bank", "--limit", "8", "--out", str(out)]
    assert main(["eval", *model, *circumstances]) == 0
    tree = json.loads((out / "comparison.json").read_text())
    assert tree["suites"] == ["bank", "bank@silent", "bank@told", "bank@mute"]
    without, knowing = tree["asking"]
    assert (without["before"], without["after"]) == ("embedded without answers", "embedded")
    assert (knowing["before"], knowing["after"]) == ("embedded", "embedded told everything")
    assert knowing["points"] > 0  # the base model solves complete statements, and asks about none
    assert "embedded told everything solves" in " ".join(capsys.readouterr().out.split())
    with Run(out) as run:
        variants = run.read_variants("bank@silent")
        episodes = run.read_episodes("eval-embedded-bank@silent", variants)
    assert [variant.id for variant in variants] == [variant.id for variant in run.read_variants("bank@told")]
    assert not any(episode.revealed for episode in episodes)


# ---- more of a finished run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "finished"
    model = ["--model", "embedded", "--suite", "bank", "--limit", "6", "--out", str(out)]
    assert main(["eval", *model, "eval.batch_size=2"]) == 0
    return out


def test_a_finished_run_plays_one_more_suite_and_leaves_the_others_as_they_were(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "episodes" / "eval-embedded-bank.jsonl").read_bytes()
    more = ["eval.suites.easy.count=3", "eval.suites.easy.clear_share=1", "eval.also=[silent]"]
    assert main(["eval", str(finished), *more]) == 0
    tree = json.loads((finished / "comparison.json").read_text())
    assert tree["suites"] == ["bank", "bank@silent", "easy", "easy@silent"]
    assert (finished / "episodes" / "eval-embedded-bank.jsonl").read_bytes() == before
    assert "eval.suites.easy" in Run(finished).info()["changed by eval"]
    capsys.readouterr()
    assert main(["eval", str(finished)]) == 0  # as it is configured now
    assert "eval-embedded: complete already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            "dialogue.max_questions=0",
            r"A finished run can be evaluated on more, not otherwise \(dialogue.max_questions",
        ),
        ("eval.temperature=1", "not otherwise"),
        ("eval.suites.bank.count=7", "eval.suites.bank was played already"),
    ],
)
def test_what_would_change_numbers_that_are_there_is_refused(
    finished: Path, changed: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished / "config.yaml").read_text()
    assert main(["eval", str(finished), changed]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert (finished / "config.yaml").read_text() == before


def test_an_interrupted_evaluation_goes_on_and_ends_as_one_that_was_not(finished: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    shutil.copytree(finished, cut)
    episodes = cut / "episodes" / "eval-embedded-bank.jsonl"
    lines = episodes.read_text().splitlines(keepends=True)
    episodes.write_text("".join(lines[:3]) + lines[3][:40])  # killed in the middle of a line, and of a batch
    (cut / "stages" / "eval-embedded-bank.json").unlink()
    (cut / "comparison.json").unlink()
    assert main(["eval", str(cut)]) == 0
    assert (cut / "comparison.json").read_bytes() == (finished / "comparison.json").read_bytes()
    assert [json.loads(line)["id"] for line in episodes.read_text().splitlines()] == [
        json.loads(line)["id"] for line in lines
    ]


# ---- what another run has played already


def evaluated(out: Path, cache: Path, *more: str) -> str:
    """comparison.json of six problems of the bank."""
    model = ["--model", "embedded", "--suite", "bank", "--limit", "6", "--out", str(out)]
    assert main(["eval", *model, f"eval.cache={cache}", *more]) == 0
    return (out / "comparison.json").read_text()


def taken(text: str) -> bool:
    return "as played by" in " ".join(text.split())


def test_what_another_run_played_is_taken_over_and_the_numbers_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    first = evaluated(tmp_path / "a", cache)
    assert not taken(capsys.readouterr().out)
    assert evaluated(tmp_path / "b", cache, "eval.batch_size=2", "env.workers=0") == first
    assert taken(capsys.readouterr().out)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize(
    "changed",
    [
        "seed=1",
        "dialogue.max_questions=1",
        "eval.temperature=0.5",
        "eval.suites.bank.draw=1",
        "env.user_options={reveal: 0.9}",
        "executor.cpu_s=1.5",
        "rewards=[{use: solved}]",
        "model.dtype=bfloat16",
    ],
)
def test_whatever_may_change_an_episode_is_played_anew(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Run.create(tmp_path / "run", "", ["test"]) as run:
        keys = []
        for config in (load_config("bank"), load_config("bank", [changed])):
            variants = suite_variants(config, "bank", config.eval.suites["bank"].model_copy(update={"count": 2}))
            run.write_variants("bank", variants)
            keys.append(key_of(config, run, "digest", "bank"))
    assert None not in keys
    assert keys[0] != keys[1]


def test_weights_are_told_apart_by_what_they_hold_and_code_by_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    first = digest_of_model(str(tmp_path))
    (tmp_path / "optimizer.pt").write_bytes(b"no part of the model")
    assert digest_of_model(str(tmp_path)) == first
    weights.write_bytes(b"two")
    assert digest_of_model(str(tmp_path)) not in (first, None)
    config = load_config("bank")
    with Run.create(tmp_path / "run", "", ["test"]) as run:
        run.write_variants("bank", [])
        before = key_of(config, run, "digest", "bank")
        monkeypatch.setattr("clarify_rl.pipeline.eval_cache._code", lambda: "another version")
        assert key_of(config, run, "digest", "bank") != before


@pytest.mark.parametrize("changed", ["env.user=llm", "rewards=[{use: mine.py:mine}]", "env.use=mine.py:World"])
def test_what_has_no_digest_is_never_taken_over(changed: str, tmp_path: Path) -> None:
    config = load_config("bank", [changed])
    with Run.create(tmp_path / "run", "", ["test"]) as run:
        run.write_variants("bank", [])
        assert key_of(config, run, "digest", "bank") is None
    assert digest_of_model("openai:http://127.0.0.1:1/v1#m") is None
    assert digest_of_model("nobody/has-such-a-model") is None


def test_a_failure_of_ours_is_kept_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    play = evaluate_module._played

    def losing_one(*arguments: Any) -> Iterator[list[Episode]]:
        for first, *others in play(*arguments):
            yield [replace(first, failure="a worker was lost"), *others]

    monkeypatch.setattr(evaluate_module, "_played", losing_one)
    evaluated(tmp_path / "a", cache)
    assert not cache.exists()


# ---- several episodes of a variant


def test_sampled_episodes_of_a_variant_differ_and_an_interruption_among_them_changes_nothing(tmp_path: Path) -> None:
    out, cut = tmp_path / "whole", tmp_path / "cut"
    model = ["--model", "embedded", "--suite", "bank", "--limit", "3", "--samples", "3", "--temperature", "1.5"]
    assert main(["eval", *model, "--out", str(out), "eval.batch_size=2"]) == 0
    episodes = out / "episodes" / "eval-embedded-bank.jsonl"
    rows = [json.loads(line) for line in episodes.read_text().splitlines()]
    assert [row["variant"] for row in rows] == [
        name for name in dict.fromkeys(row["variant"] for row in rows) for _ in "123"
    ]
    assert [row["id"].partition("#")[2] for row in rows[:3]] == ["", "2", "3"]
    assert len({row["seed"] for row in rows}) == 9
    assert len({row["turns"][-1]["reply"]["text"] for row in rows}) > 3
    everything = json.loads((out / "comparison.json").read_text())["summaries"][0]["groups"][0]
    assert (everything["episodes"], everything["variants"]) == (9, 3)
    assert [each["name"] for each in everything["pass_at"]] == ["2", "3"]
    shutil.copytree(out, cut)
    (cut / "episodes" / episodes.name).write_text("".join(episodes.read_text().splitlines(keepends=True)[:5]))
    (cut / "stages" / "eval-embedded-bank.json").unlink()
    assert main(["eval", str(cut)]) == 0
    assert (cut / "comparison.json").read_bytes() == (out / "comparison.json").read_bytes()


def test_samples_of_a_greedy_policy_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at temperature 0 would all be the same. Set eval.suites.many.temperature"):
        load_config("demo", ["eval.suites.many.samples=4"])
    assert load_config("demo", ["eval.suites.many.samples=4", "eval.temperature=0.7"]).suites["many"].samples == 4


def test_a_suite_may_be_sampled_beside_one_that_is_played_greedily(tmp_path: Path) -> None:
    few = ["eval.suites.bank.count=4", "eval.suites.many.count=2", "eval.suites.many.samples=2"]
    model = ["eval", "--model", "embedded", "--suite", "bank", "--out", str(tmp_path / "run")]
    assert main([*model, *few, "eval.suites.many.temperature=1.2"]) == 0
    with Run(tmp_path / "run") as run:
        config = saved_config(tmp_path / "run")
        greedy, sampled = read_results(config, run)
    assert (len(greedy.episodes), len(sampled.episodes)) == (4, 4)
    again = ["eval", "--model", "embedded", "--suite", "bank", "--limit", "4", "--out", str(tmp_path / "alone")]
    assert main(again) == 0
    with Run(tmp_path / "alone") as run:
        (alone,) = read_results(saved_config(tmp_path / "alone"), run)
    assert [episode.completion_ids for episode in alone.episodes] == [e.completion_ids for e in greedy.episodes]


def test_a_silent_user_tells_nothing_and_the_dialogue_goes_on() -> None:
    with closing(LocalPool(replace(SPEC, env_options={**SPEC.env_options, "user": "silent"}))) as pool:
        (episode,) = play((UNCLEAR, [ASK, DESC]), pool=pool)
    assert episode.turns[0].answer is not None
    assert (episode.turns[0].answer.text, episode.revealed) == ("I have nothing to add to that.", ())
    assert episode.solved


# ---- the dialogues of a run in the terminal


def test_show_prints_the_dialogues_that_pass_the_filters(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run(finished) as run:
        episodes = run.read_episodes("eval-embedded-bank", run.read_variants("bank"))
    solved = [episode for episode in episodes if episode.solved]
    capsys.readouterr()
    assert main(["show", str(finished), "--suite", "bank", "--outcome", "solved", "--limit", "1"]) == 0
    said = capsys.readouterr().out
    assert solved[0].variant.id in said and solved[0].turns[-1].reply.code.splitlines()[0] in said  # type: ignore[union-attr]
    assert f"{len(solved)} dialogues pass these filters" in said
    assert main(["show", str(finished), "--text", "no such words anywhere"]) == 0
    assert "0 dialogues pass these filters" in capsys.readouterr().out


def test_show_names_what_a_run_has_where_it_has_not_what_is_asked_for(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(finished), "--checkpoint", "rl"]) == 2
    assert "No checkpoint named 'rl'. Known: embedded." in capsys.readouterr().err


# ---- policies that know the problems


def test_the_oracle_asks_for_all_and_solves_and_who_always_asks_does_so_where_nothing_is_missing(
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    models = ["--model", "oracle=scripted:oracle", "--model", "always=scripted:always_asks"]
    more = ["eval.also=[silent]", "dialogue.max_questions=1"]
    assert main(["eval", *models, "--suite", "bank", "--limit", "12", "--out", str(out), *more]) == 0
    tree = json.loads((out / "comparison.json").read_text())
    groups = {
        (summary["checkpoint"], summary["suite"], group["group"]): group
        for summary in tree["summaries"]
        for group in summary["groups"]
    }
    assert groups["oracle", "bank", "all"]["solved"]["value"] == 1.0
    assert groups["oracle", "bank", "unclear"]["revealed"]["value"] >= 0.9
    assert groups["oracle", "bank", "clear"]["asked"]["value"] == 0.0
    assert groups["always", "bank", "clear"]["asked"]["value"] == 1.0
    assert groups["oracle", "bank@silent", "unclear"]["revealed"]["value"] == 0.0


def test_a_scripted_policy_that_is_none_is_found_before_the_work_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", "x=scripted:oracel", "--suite", "bank", "--out", str(tmp_path / "run")]
    assert main(["eval", *model]) == 2
    assert "No scripted policy named 'oracel'. Did you mean 'oracle'?" in " ".join(capsys.readouterr().err.split())


def test_families_with_tests_only_are_all_that_remain_unless_they_are_named_or_there_are_none() -> None:
    def trained(tests_only: tuple[str, ...] | None) -> list[str]:
        data = {"demonstrated": ("discount", "totals"), "held_out": ("by_age",), "tests_only": tests_only}
        return [family.name for family in family_roles(Config.model_validate({"data": data})).trained]

    assert trained(()) == ["discount", "totals"]
    assert trained(("passed",)) == ["discount", "totals", "passed"]
    assert set(trained(None)) == {family.name for family in FAMILIES} - {"by_age"}


def test_seldom_families_are_trained_on_and_give_their_share_of_the_dialogues_alone(tmp_path: Path) -> None:
    part = {"count": 60, "clear_share": 0.5}
    data = {"demonstrated": ("discount",), "seldom": ("totals",), "seldom_share": 0.2, "tests_only": ("passed",)}
    config = Config.model_validate(
        {"data": {**data, "sft": part, "sft_dev": {**part, "count": 4}, "rl": part}, "eval": {"suites": {}}}
    )
    with Run.create(tmp_path / "run", to_yaml(config), ("test",)) as run:
        make_data(config, run)
        shown, played = run.read_variants("sft"), run.read_variants("rl")
    unclear = Counter(variant.problem.family for variant in shown if not variant.is_clear)
    assert set(unclear) == {"discount", "totals"} and 0 < unclear["totals"] < unclear["discount"]
    trained = {"discount", "totals", "passed"}
    assert {variant.problem.family for variant in shown if variant.is_clear} == trained
    assert {variant.problem.family for variant in played if not variant.is_clear} == trained
