"""What the stages of a run share."""

from hashlib import sha256
from pathlib import Path

import pytest
import torch

from clarify_rl.config import Config, RewardConfig
from clarify_rl.config_files import load_config
from clarify_rl.dialogue.chat import TextChat
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ClarifyError
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.fitting import say_what_is_cut_off
from clarify_rl.pipeline.memory import telling_of_memory
from clarify_rl.players import chat_for, load
from clarify_rl.store import Run
from clarify_rl.types import Case, Problem, Tests, Variant

REWARDS = "def half(episode):\n    return 0.5\n\n\ndef none(episode):\n    return 0.0\n"


def test_a_run_notes_what_its_plugin_files_hold_and_warns_when_one_has_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    config = Config(rewards=tuple(RewardConfig(use=f"{file}:{name}") for name in ("half", "none")))
    digests = []
    with Run.create(tmp_path / "run", "seed: 0\n", ["pytest"]) as run:
        for text in (REWARDS, REWARDS, REWARDS.replace("0.5", "0.75")):
            assert "has changed" not in capsys.readouterr().out
            file.write_text(text)
            digests.append(sha256(text.encode()).hexdigest()[:12])
            with open_pool(config, run):
                pass
        assert run.info()[f"plugin {file}"] == f"sha256 {digests[0]}, then {digests[2]}"
    assert capsys.readouterr().out.count("mine.py has changed since this run began") == 1


def test_a_context_that_cuts_dialogues_off_is_told_of_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config("demo")
    chat = chat_for(config, load(config, config.model.base, "evaluation"))
    problem = Problem("a", "Return x. " * 40, "f", Tests((Case((1,), 1),)), "def f(x): return x", "test")
    variants = [Variant("long", problem, problem.prompt), Variant("short", problem, "Return x.")]
    long, short = (len(chat.prompt_ids(variant)) for variant in variants)
    say_what_is_cut_off(chat, DialogueLimits(total_tokens=100, context_tokens=long + 100), variants)
    assert capsys.readouterr().out == ""
    say_what_is_cut_off(chat, DialogueLimits(total_tokens=100, context_tokens=long + 60), variants)
    said = capsys.readouterr().out
    assert f"holds {long + 60} tokens, and 1 of 2 statements (the longest has {long})" in said
    assert "Set dialogue.total_tokens=60" in said
    say_what_is_cut_off(chat, DialogueLimits(total_tokens=100, context_tokens=short + 60), variants)
    assert "2 of 2 statements" in (said := capsys.readouterr().out)
    assert "Leave the longest out" in said
    say_what_is_cut_off(TextChat(), DialogueLimits(total_tokens=100, context_tokens=10), variants)
    assert capsys.readouterr().out == ""


def test_a_gpu_without_memory_is_told_of_with_its_largest_consumers_and_what_helps() -> None:
    config = load_config("demo")
    with pytest.raises(ClarifyError) as error, telling_of_memory("rl", config):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    said = str(error.value)
    assert said.startswith(
        "The GPU ran out of memory in rl. The largest things there: the logits of a micro-batch, up to"
    )
    assert "16 x 288 tokens x 1536 words, 0.0 GB" in said
    assert "for 2M weights with AdamW" in said
    assert "rl.trainer.per_device_train_batch_size=8 rl.trainer.gradient_accumulation_steps=16" in said
    assert "rl.lora.r=16" in said


def test_an_evaluation_without_memory_is_told_to_generate_less_at_once() -> None:
    with pytest.raises(ClarifyError, match=r"in eval-rl.*eval\.batch_size=64"), telling_of_memory("eval-rl", Config()):
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_any_other_error_of_a_stage_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="shapes"), telling_of_memory("rl", Config()):
        raise RuntimeError("shapes do not match")
