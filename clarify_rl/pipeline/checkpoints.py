"""The models of a run by their names: what is compared in the end, and what RL starts from."""

from __future__ import annotations

from pathlib import Path

from clarify_rl.config import Config
from clarify_rl.sections import CONTINUE


def checkpoints(config: Config) -> dict[str, str | None]:
    """What a run compares, from the first to the last: names, and the models; None for one that the run trains."""
    if config.eval.models:
        return dict(config.eval.models)
    trained = [name for name in ("sft", "rl") if getattr(config, name) is not None]
    return {"base": config.model.base, **dict.fromkeys(trained)}


def rl_start(config: Config, folder: Path) -> str:
    """The model that RL starts from: SFT's, or its adapter where RL goes on with it, or without SFT the base."""
    if not config.sft:
        return config.model.base
    continues = config.rl is not None and config.rl.lora == CONTINUE
    return str(folder / "models" / "sft" / ("adapter" if continues else ""))
