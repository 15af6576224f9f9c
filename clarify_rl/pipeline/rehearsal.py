"""One scripted episode before a run: through its tokenizer, its user, its executor and its rewards.

What plugins, templates and options get wrong shows in the first episode. Here nobody has waited for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import Chat, TextChat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.errors import ConfigError
from clarify_rl.eval_sections import SuiteConfig
from clarify_rl.pipeline.canaries import SCRIPTED
from clarify_rl.pipeline.checkpoints import checkpoints
from clarify_rl.pipeline.data import family_roles, suite_variants
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.sources import unclear_one
from clarify_rl.players import end_ids_of, make_chat
from clarify_rl.policies.models import load_tokenizer
from clarify_rl.policies.openai import served
from clarify_rl.policies.scripted import ScriptedPolicy
from clarify_rl.synthesis.mix import code_reply
from clarify_rl.types import Episode, Policy, Request, Sample, Start, Variant

_AMPLE = 1 << 20  # tokens: whether the reference fits the budgets is not what is tried
_SEED = 0
ENOUGH = 20  # variants of a suite among which one that hides something is looked for


def rehearse(config: Config) -> Episode:
    """The episode, in this process. Raises ConfigError with what went wrong in it.

    It asks once about a hidden fact, unless no question is allowed or a person would have to answer, then codes.
    """
    variant = _variant(config)
    asks = config.dialogue.max_questions > 0 and config.env.user != "human"
    episode = _played(config, variant, _script(variant, asks=asks))
    if episode.failure:
        raise ConfigError(f"A scripted episode failed: {episode.failure}.")
    if unscored := next((score for score in episode.scores if score.value is None), None):
        why = unscored.why or f"reward {unscored.name} returned None"
        if episode.measured:
            raise ConfigError(f"A scripted episode could not be rewarded: {why}.")
        said = episode.execution.detail if episode.execution else why
        raise ConfigError(f"A scripted episode could not be measured: {said}.")
    return episode


def sentence(episode: Episode) -> str:
    """What came of it, in one line."""
    execution, reward = episode.execution, episode.reward
    tests = f"{execution.passed} of {execution.total} tests" if execution else f"no code ({episode.stop})"
    earned = "no rewards" if reward is None or not episode.scores else f"reward {reward:g}"
    return f"one scripted episode: {len(episode.questions)} question, {tests}, {earned}"


def _variant(config: Config) -> Variant:
    """One that hides something, of what the run would play."""
    roles, suites = family_roles(config), config.suites
    trains = config.sft is not None or config.rl is not None
    name, suite = next(iter(suites.items()), ("rehearsal", SuiteConfig()))
    trained = next((name for name in config.data.rl.sources if name in config.sources), None) if trains else None
    if named := trained or (suite.source if suite.source in config.sources else None):
        return unclear_one(config, named)
    if trains and suite.source != "bank":
        suite = SuiteConfig()
    if suite.source == "bank":
        used = "trained" if roles.trained else "held_out"
        suite = suite.model_copy(update={"count": 1, "clear_share": 0.0, "families": used, "split": "dev"})
    variants = suite_variants(config, name, suite.model_copy(update={"count": min(suite.count, ENOUGH)}), quiet=True)
    return next((variant for variant in variants if variant.facts), variants[0])


def _script(variant: Variant, *, asks: bool) -> tuple[str, ...]:
    code = code_reply(variant.problem.solution)
    if not asks or not variant.facts:
        return (code,)
    fact = variant.facts[0]
    return (fact.questions[0] if fact.questions else f"What about this: {fact.statement.rstrip('.')}?", code)


def _played(config: Config, variant: Variant, script: Sequence[str]) -> Episode:
    here = config.env.model_copy(update={"workers": 0})
    chat, policy = _speakers(config, {"rehearsal": script})
    limits = DialogueLimits(config.dialogue.max_questions, _AMPLE, _AMPLE, _AMPLE)
    with open_pool(config.model_copy(update={"env": here})) as pool:
        (episode,) = run_episodes(
            [Start(variant, "rehearsal", _SEED)], policy=policy, pool=pool, chat=chat, limits=limits
        )
    return episode


def _speakers(config: Config, scripts: dict[str, Sequence[str]]) -> tuple[Chat | TextChat, Policy]:
    """How the first model's dialogues become tokens, and who says the script in them."""
    trains = config.sft is not None or config.rl is not None
    spec = config.model.base if trains else next(filter(None, checkpoints(config).values()))
    if served(spec) or spec.startswith(SCRIPTED):
        return TextChat(config.dialogue.instruction, config.dialogue.last_call), _Typed(scripts)
    tokenizer = load_tokenizer(spec)
    chat = make_chat(config, tokenizer, end_ids_of(spec, tokenizer), trains=trains)
    scripts = {name: [chat.said(reply) for reply in script] for name, script in scripts.items()}
    return chat, ScriptedPolicy(scripts, chat.encode, chat.turn_end_id)


class _Typed:
    """A script for a model behind a server, which has no ids."""

    def __init__(self, scripts: dict[str, Sequence[str]]) -> None:
        self._scripts = scripts

    def generate(self, requests: Sequence[Request]) -> list[Sample]:
        return [
            Sample((), None, True, text=self._scripts[request.episode_id][request.turn], tokens=1)
            for request in requests
        ]
