"""Finding and writing checkpoints: the newest complete one to go on from, and a plain folder that anyone can load."""

from __future__ import annotations

import shutil
from pathlib import Path

from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_utils import get_last_checkpoint


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in `folder` that was written to its end (its trainer state comes last), or None."""
    if not folder.is_dir():
        return None
    for broken in folder.glob("checkpoint-*"):
        if not (broken / "trainer_state.json").exists():
            shutil.rmtree(broken)
    newest: str | None = get_last_checkpoint(str(folder))
    return newest


def save_model(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """Writes a plain causal LM with its tokenizer; an adapter is kept beside it in `adapter/` and merged into it."""
    if isinstance(model, PeftModel):
        model.save_pretrained(str(folder / "adapter"))
        model = model.merge_and_unload()
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
