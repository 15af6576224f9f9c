"""Pretraining: a base model from nothing, and one that goes on from another."""

from pathlib import Path

import pytest
import torch

from clarify_rl.config import PretrainConfig
from clarify_rl.errors import ClarifyError
from clarify_rl.policies.models import asset_digests, load_model, tokenizer_fingerprint, verify_digests
from clarify_rl.training.pretrain import Progress, pretrain

TINY = {"hidden_size": 16, "intermediate_size": 16, "layers": 1, "heads": 2, "vocabulary": 400, "batch_size": 4}


def test_pretraining_goes_on_from_the_model_that_it_is_given_with_its_tokenizer(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain(PretrainConfig.model_validate({**TINY, "steps": 2, "device": "cpu"}), first, 0)
    # Sizes are the first model's own: those of the defaults would not fit.
    on = PretrainConfig(start=str(first), steps=2, batch_size=4, warmup_steps=1, learning_rate=1e-3, device="cpu")
    seen: list[Progress] = []
    pretrain(on, second, 1, on_progress=seen.append)
    verify_digests(second)
    before, after = load_model(str(first)), load_model(str(second))
    assert tokenizer_fingerprint(before.tokenizer) == tokenizer_fingerprint(after.tokenizer)
    moved = [
        (a - b).abs().max()
        for a, b in zip(before.model.parameters(), after.model.parameters(), strict=True)
        if a.shape == b.shape
    ]
    assert 0 < max(moved) < 0.01  # two steps of Adam at 1e-3, not another start
    assert [progress.step for progress in seen] == [2]
    assert torch.isfinite(torch.tensor(seen[0].loss))
    assert asset_digests(first) != asset_digests(second)


def test_a_start_that_is_not_there_is_named_before_any_step(tmp_path: Path) -> None:
    with pytest.raises(ClarifyError, match="nowhere"):
        pretrain(PretrainConfig(start=str(tmp_path / "nowhere"), device="cpu"), tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()
