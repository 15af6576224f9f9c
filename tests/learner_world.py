"""What a learner runs in the tests: the RL stage of a run, and then a word on its weights."""

from __future__ import annotations

import json

import torch
from accelerate.utils import gather_object

from clarify_rl.config import Config
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.players import chat_for, dialogue_limits
from clarify_rl.policies.models import load_model
from clarify_rl.store import Run
from clarify_rl.training.rl import train_rl


def learn_and_tell(config: Config, run: Run) -> None:
    """Trains, and the first learner writes down the sum of each learner's weights, before and after."""
    assert config.rl is not None
    train = train_rl
    loaded = load_model(config.model.base, device="cpu")
    before = weight_sum(loaded.model)
    with open_pool(config, run) as pool:
        chat, limits = chat_for(config, loaded), dialogue_limits(config, loaded)
        train(loaded, run.read_variants("rl"), pool, chat, limits, config, run)
    told = gather_object([(before, weight_sum(loaded.model))])
    if run.writes:
        (run.folder / "told.json").write_text(json.dumps(told))


def weight_sum(model: torch.nn.Module) -> float:
    """Of all weights, and of the critic's in a model that was trained with one."""
    return sum(float(weight.double().abs().sum()) for weight in model.parameters())
