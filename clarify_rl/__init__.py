"""clarify-rl: reinforcement learning for code models that ask before they guess."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if not (Path(__file__).parent / "rewards").exists():
    # A bare or editable checkout: rewards/, envs/ and configs/ lie beside this package instead of inside it.
    __path__.append(str(Path(__file__).parent.parent))

from clarify_rl.registry import env, reward, user
from clarify_rl.types import (
    Answer,
    Case,
    Env,
    Episode,
    Exchange,
    Execution,
    Fact,
    Heard,
    Outcome,
    Problem,
    Raises,
    Rating,
    Reply,
    Response,
    Reward,
    Score,
    Stop,
    Tests,
    Turn,
    User,
    Variant,
)

if TYPE_CHECKING:
    from clarify_rl.notebook import RunView, compare, evaluate, open_run

__version__ = "0.1.0"

_OF_NOTEBOOK = ("RunView", "compare", "evaluate", "open_run")  # they load torch, so only when they are asked for


def __getattr__(name: str) -> object:
    if name in _OF_NOTEBOOK:
        return getattr(import_module("clarify_rl.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Answer",
    "Case",
    "Env",
    "Episode",
    "Exchange",
    "Execution",
    "Fact",
    "Heard",
    "Outcome",
    "Problem",
    "Raises",
    "Rating",
    "Reply",
    "Response",
    "Reward",
    "RunView",
    "Score",
    "Stop",
    "Tests",
    "Turn",
    "User",
    "Variant",
    "compare",
    "env",
    "evaluate",
    "open_run",
    "reward",
    "user",
]
