"""The optimizer's own step, as a part of a training step's timeline."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from clarify_rl.timeline import Timeline


class TimeOptimizer(TrainerCallback):
    """Gives the optimizer's own step, which a trainer makes between two of its methods, to the update."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:  # Any: transformers' own
        self.timeline.begin("update")

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:  # Any: as above
        self.timeline.end()
