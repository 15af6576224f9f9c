"""clarify-rl: reinforcement learning for code models that ask before they guess."""

from pathlib import Path

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

__version__ = "0.1.0"

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
    "Score",
    "Stop",
    "Tests",
    "Turn",
    "User",
    "Variant",
    "env",
    "reward",
    "user",
]
