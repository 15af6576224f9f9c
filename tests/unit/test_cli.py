from __future__ import annotations

import argparse
import errno
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from clarify_rl.arguments import make_parser, parse
from clarify_rl.cli import main
from clarify_rl.config_files import load_config, to_yaml
from clarify_rl.pipeline.standalone import evaluation_config
from clarify_rl.policies.models import embedded_folder
from clarify_rl.store import Run

TINY = ["data.sft.count=4", "data.sft_dev.count=2", "data.rl.count=16"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


COMMANDS = [parser for parser in parsers(make_parser()) if parser.get_default("command")]


@pytest.mark.parametrize("parser", COMMANDS, ids=lambda parser: parser.get_default("command"))
def test_the_example_in_each_help_parses(parser: argparse.ArgumentParser) -> None:
    assert parser.epilog is not None
    program, *argv = shlex.split(parser.epilog.removeprefix("example:"))
    assert program == "clarify-rl"
    assert parse(argv).command == parser.get_default("command")


def test_every_command_is_there() -> None:
    found = {parser.get_default("command") for parser in COMMANDS}
    inner = {
        "config show",
        "config list",
        "check executor",
        "check source",
        "check user",
        "check reward",
        "check env",
        "data-make",
        "data-propose",
        "data-rewrite",
        "data-judge",
        "data-dialogues",
        "data-show",
        "data-stats",
    }
    outer = "run data sft rl submit eval compare rescore grade replay show convert publish play export pretrain doctor"
    assert found == set(outer.split()) | inner


def test_key_value_pairs_may_stand_behind_options() -> None:
    arguments = parse(["run", "demo", "seed=1", "--resume", "name=x"])
    assert (arguments.config, arguments.items, arguments.resume) == ("demo", ["seed=1", "name=x"], True)


@pytest.mark.parametrize("argv", [[], ["bogus"], ["run"], ["run", "demo", "--bogus"], ["config", "list", "more"]])
def test_a_wrong_command_line_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def test_the_bare_command_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "evaluate the checkpoints of a run" in capsys.readouterr().out


def test_a_missing_argument_is_the_only_one_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run"])
    assert "required: CONFIG\n" in capsys.readouterr().err


def test_a_mistake_is_one_message_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "demo", "sed=1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("clarify-rl: Unknown key 'sed'. Did you mean 'seed'?")
    assert "Traceback" not in err


def test_the_version_and_the_configurations_load_no_heavy_library() -> None:
    program = (
        "import sys; from clarify_rl.cli import main; code = main(['config', 'show', 'demo', 'seed=3']); "
        "sys.exit(code or len({'torch', 'transformers', 'trl', 'ray', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == to_yaml(load_config("demo", ["seed=3"]))


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "demo", "--dry-run", "seed=4"]) == 0
    out = capsys.readouterr().out
    assert "runs/demo (new), seed 4" in out
    assert f"data/sft.jsonl ({load_config('demo').data.sft.count})" in out
    assert "models/sft" in out
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_is_evaluated_on_the_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "demo", "--dry-run", "rl.evaluation.every=5"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    data = load_config("demo").data
    assert f"data/rl.jsonl ({data.rl.count}), data/rl_dev.jsonl ({data.rl_dev.count})" in out
    assert "models/rl: the best of 80 steps of GRPO, evaluated every 5" in out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.held_out=[pionts_beyond]", "No family named 'pionts_beyond'. Did you mean 'points_beyond'?"),
        ("env.user=rule_base", "No user named 'rule_base'. Did you mean 'rule_based'?"),
        ("rewards=[{use: pas_rate}]", "No reward named 'pas_rate'. Did you mean 'pass_rate'?"),
        ("rl.trainer.max_step=3", "rl.trainer.max_step: TRL's GRPOConfig has no such option. Did you mean max_steps"),
        ("sft.trainer.learning_rat=3", "sft.trainer.learning_rat: TRL's SFTConfig has no such option."),
        ("data.rl.count=9", "data.rl.count=9: a batch of episodes has 16 groups"),
        ("rl.trainer.learning_rate=fast", "rl.trainer.learning_rate: TRL's GRPOConfig takes a number (found 'fast')."),
        (
            "rl.trainer.num_generations=7",
            "rl.trainer: generation_batch_size (128) must be divisible by num_generations",
        ),
        ("sft.trainer.max_steps=1e3", "sft.trainer.max_steps: TRL's SFTConfig takes a whole number (found 1000.0)."),
        ("model.base=/no/such/model", "No model '/no/such/model'"),
        ("model.base=./no_such_model", "No model './no_such_model'"),
        ("sft.lora=continue", "sft.lora=continue needs an adapter to go on with, and model.base=embedded is none."),
        ("eval.suites.new_families.source=no.jsonl", "no file no.jsonl"),
        ("eval.suites.new_families.source=bnk", "no file bnk. Take bank, a name that stands under `sources`, the path"),
        ("rl.trainer.max_steps=-5", "rl.trainer.max_steps=-5: training needs at least one step."),
        ("dialogue.turn_tokens=400", "turn_tokens=400 is more than total_tokens=288"),
        ("model.base=nobody/nothing-of-that-name", "and the hub:"),
        ("rl.trainer.push_to_hub=true", "rl.trainer.push_to_hub: the hub does not let this machine push"),
        ("sft.trainer.push_to_hub=true", "sft.trainer.push_to_hub: the hub does not let this machine push"),
        ("model.dtype=bfloat16", "would train all weights in half precision in sft and rl"),
        ("out=/dev/null", "/dev/null is a file, not a folder"),
        ("out=/proc/{name}", "/proc cannot be written"),
    ],
)
@pytest.mark.parametrize("dry", [True, False], ids=["dry-run", "run"])
def test_what_would_stop_a_run_is_found_before_its_folder_is_made(
    override: str, message: str, dry: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "demo", override, *(["--dry-run"] if dry else [])]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_data_is_made_once_and_the_next_stage_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    suites = [f"eval.suites.{name}.count=2" for name in load_config("demo").eval.suites]
    wanted = ["demo", *TINY, *suites]
    assert main(["rl", *wanted]) == 2
    assert f"First: clarify-rl sft {shlex.join(wanted)}" in capsys.readouterr().err
    assert main(["sft", *wanted]) == 2
    assert f"First: clarify-rl data {shlex.join(wanted)}" in capsys.readouterr().err
    assert main(["data", *wanted]) == 0
    before = {path: path.read_bytes() for path in Path("runs/demo/data").iterdir()}
    assert len(before) == 3 + len(suites)
    capsys.readouterr()
    assert main(["data", *wanted]) == 0
    assert "data: complete already" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in Path("runs/demo/data").iterdir()} == before
    assert main(["run", *wanted]) == 2
    assert f"clarify-rl run {shlex.join(wanted)} --resume" in capsys.readouterr().err
    assert main(["data", *wanted, "seed=1"]) == 2
    assert "another configuration" in capsys.readouterr().err


def test_nothing_is_resumed_where_nothing_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "demo", "--resume"]) == 2
    assert "Nothing to resume in runs/demo" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_folder_in_use_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config("demo")
    with Run.create(config.folder, to_yaml(config), ["x"]):
        assert main(["run", "demo", "--resume"]) == 2
    assert "in use by another process" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["eval"], "Give one run folder"),
        (["eval", "--model", "embedded"], "Give one run folder"),
        (["eval", "runs/x", "--model", "embedded", "--suite", "bank"], "Give one run folder"),
        (["eval", "runs/x"], "runs/x holds no run"),
        (["eval", "--model", "a/b", "--model", "c/b", "--suite", "bank"], "Two models have one name"),
        (["eval", "--model", "a b=x", "--suite", "bank"], "is no name"),
        (["eval", "--model", "embedded", "--suite", "no.jsonl"], "no file no.jsonl"),
        (["compare", "runs/x"], "runs/x holds no run"),
        (["play", "--kind", "strange"], "No kind 'strange'"),
        (["play", "--variant", "x"], "Run `clarify-rl data` first"),
    ],
)
def test_other_mistakes_say_what_to_type(
    argv: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_command_says_what_is_kept_and_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("clarify_rl.pipeline.run.make_data", interrupted)
    assert main(["run", "demo"]) == 130
    err = capsys.readouterr().err
    assert "runs/demo keeps the complete stages (none)" in err
    assert err.endswith("Go on with it: clarify-rl run demo --resume\n")


PLUGINS = """
from clarify_rl import Answer, Heard, Outcome

def two_arguments(episode, other):
    return 1.0

def broken(episode):
    return episode.nothing

class Deaf:
    def answer(self, variant, questions):
        return Answer("What?")

class Loose:
    def answer(self, variant, questions, turns, seed):
        return Answer("x", (Heard(Outcome.REVEALED, (variant.facts[0].id)),))
"""


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("rewards=[{use: mine.py:two_arguments}]", "reward mine.py:two_arguments raised TypeError: two_arguments()"),
        ("rewards=[{use: mine.py:broken}]", "reward mine.py:broken raised AttributeError"),
        ("env.user=mine.py:Deaf", "environment ask_or_code raised TypeError: Deaf.answer()"),
        ("env.user=mine.py:Loose", "user mine.py:Loose: Heard.facts must be a tuple of fact ids"),
    ],
)
@pytest.mark.parametrize("dry", [True, False], ids=["dry-run", "run"])
def test_a_plugin_that_cannot_work_is_found_by_one_scripted_episode(
    override: str, says: str, dry: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.py").write_text(PLUGINS, encoding="utf-8")
    assert main(["run", "demo", override, *(["--dry-run"] if dry else [])]) == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_dry_run_plays_a_scripted_episode_and_says_what_it_earned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "demo", "--dry-run"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(r"one scripted episode: 1 question, (\d+) of \1 tests, reward 1\.5", out), out


def test_a_model_without_a_chat_template_is_found_before_the_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(embedded_folder(), "plain", ignore=shutil.ignore_patterns("chat_template.jinja", "DIGESTS.json"))
    assert main(["run", "demo", "model.base=plain", "--dry-run"]) == 2
    assert "The tokenizer of plain has no chat template" in capsys.readouterr().err
    assert main(["run", "demo", "model.base=plain"]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["run", "demo", "--seed", "3"], "Settings are written without dashes: seed=3"),
        (["run", "demo", "--rl.trainer.max_steps=5"], "Settings are written without dashes: rl.trainer.max_steps=5"),
    ],
)
def test_a_setting_that_is_written_as_an_option_is_told_how(
    argv: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(argv)
    assert hint in capsys.readouterr().err


LIGHT = """
import sys
from clarify_rl.cli import main
code = main(sys.argv[1:])
sys.exit(code if not {'torch', 'transformers', 'trl', 'ray', 'datasets'} & sys.modules.keys() else 99)
"""


@pytest.mark.parametrize(
    "argv",
    [
        ["export", "embedded", "--out", "full"],
        ["pretrain", "--out", "full"],
        ["run", "demo", "data.held_out=[pionts_beyond]"],
        ["run", "demo", "out=full/held"],
        ["run", "demo", "out=full/file"],
        ["sft", "demo"],
        ["eval", "runs/x"],
        ["eval", "--model", "embedded", "--suite", "no.jsonl"],
        ["compare", "runs/x"],
        ["play", "--kind", "strange"],
        ["run", "demo", "--resume"],
    ],
    ids=" ".join,
)
def test_a_mistake_that_needs_no_heavy_library_loads_none(argv: list[str]) -> None:
    """Loading them takes longer than anybody waits for a slip of the pen."""
    Path("full/held").mkdir(parents=True)
    Path("full/file").write_text("x", encoding="utf-8")
    Path("full/held/config.yaml").write_text(to_yaml(load_config("demo")), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", LIGHT, *argv], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("clarify-rl: ")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x/a"), "The disk is full (runs/x/a). Make room there"),
        (RuntimeError("write failed: No space left on device (os error 28)"), "The disk is full. Make room"),
        (OSError(errno.EROFS, "Read-only", "/x"), "The file system is read-only (/x). Choose another folder: out=..."),
        (OSError(errno.EACCES, "no", "/x"), "No permission to write or read (/x)"),
        (OfflineModeIsEnabled("Cannot reach the hub: offline mode"), "The hub did not answer: Cannot reach the hub"),
    ],
)
def test_what_the_machine_does_is_a_sentence_and_no_traceback(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("a library's own words") from cause

    monkeypatch.setattr("clarify_rl.pipeline.run.make_data", fails)
    assert main(["data", "demo"]) == 2
    err = capsys.readouterr().err
    assert f"clarify-rl: {says}" in err and "Traceback" not in err


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("clarify_rl.pipeline.run.make_data", fails)
    with pytest.raises(ZeroDivisionError):
        main(["data", "demo"])


def test_the_embedded_model_is_evaluated_without_an_instruction_unless_one_is_given() -> None:
    embedded = {"embedded": "embedded"}
    assert evaluation_config(embedded, "bank").dialogue.instruction == ""
    assert evaluation_config(embedded, "bank", dialogue={"instruction": "Ask."}).dialogue.instruction == "Ask."
    assert evaluation_config({"other": "some/where"}, "bank", dialogue={"instruction": None}).dialogue.instruction


def test_a_run_that_goes_on_needs_no_source_that_its_data_were_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    changed = ["eval.suites.new_families.source=gone.jsonl"]
    config = load_config("demo", changed)
    with Run.create(config.folder, to_yaml(config), ["x"]) as run:
        run.mark_done("data", 1.0)
    assert main(["data", "demo", *changed]) == 0
    assert "data: complete already" in capsys.readouterr().out
