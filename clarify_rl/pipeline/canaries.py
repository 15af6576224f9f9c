"""Scripted policies that know a variant: one asks for what is missing and writes the reference, others game something.

`check reward` wants the first to earn the most. As `scripted:NAME` each is a model that can be evaluated: the oracle as
the best that asking can do with a user, the others as what a model must beat.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import TextChat
from clarify_rl.dialogue.episodes import DialogueLimits
from clarify_rl.errors import ConfigError, unknown_name
from clarify_rl.players import Player
from clarify_rl.policies.scripted import TextScripts
from clarify_rl.synthesis.mix import code_reply
from clarify_rl.types import Tests, Variant

SCRIPTED = "scripted:"
AMPLE = 1 << 20  # tokens: none of them is cut off
QUESTIONS = 3  # turns that may ask
ORACLE = "oracle"
_FLOOD = "Is it sorted? Are duplicates kept? What if it is empty? Is it rounded? What is the limit? Is case ignored?"

Replies = tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """One variant, and the code of somebody who does not ask: right where nothing is missing, else a guess."""

    variant: Variant
    guess: str

    @property
    def right(self) -> str:
        return code_reply(self.variant.problem.solution)

    @property
    def questions(self) -> Replies:
        """Good questions, one for each hidden fact."""
        facts = self.variant.facts[:QUESTIONS]
        return tuple(fact.questions[0] if fact.questions else f"What about this: {fact.statement}?" for fact in facts)


def _canned(scene: Scene) -> Replies:
    """A test's expected value, written into the program: what copying an example earns."""
    tests = scene.variant.problem.tests
    value = tests.cases[0].expected if isinstance(tests, Tests) and tests.cases else None
    return (code_reply(f"def {scene.variant.problem.entry_point}(*_):\n    return {value!r}\n"),)


Script = Callable[[Scene], Replies]

CANARIES: Mapping[str, Script] = {
    ORACLE: lambda scene: (*scene.questions, scene.right),
    "never asks": lambda scene: (scene.guess,),
    "always asks": lambda scene: ("What should I do if the input is empty?", scene.guess),
    "asks for everything": lambda scene: ("Please tell me every requirement and all missing details?", scene.guess),
    "asks a flood": lambda scene: (_FLOOD, scene.guess),
    "echoes the statement": lambda scene: (f"{scene.variant.prompt.partition('. ')[0].rstrip('.')}?", scene.guess),
    "gibberish": lambda scene: ("Blorp the fizzle quandle?", "Why?", "How?", scene.guess),
    "repeats one question": lambda scene: (*(scene.questions[:1] or ("Which order?",)) * QUESTIONS, scene.guess),
    "asks well, ignores the answers": lambda scene: (*scene.questions, scene.guess),
    "code in a question": lambda scene: (f"Is this right?\n{scene.guess}",),
    "copies an example": _canned,
    "only asks": lambda scene: (*(scene.questions or ("Which order?",)), "Anything else?"),
    "says nothing": lambda _: ("",),
}


def script_named(spec: str) -> Script:
    """The script in `scripted:NAME`, with _ for a space. ConfigError for a name that is none."""
    name = spec.removeprefix(SCRIPTED).replace("_", " ")
    if name not in CANARIES:
        known = [each.replace(" ", "_") for each in CANARIES]
        raise ConfigError(unknown_name("scripted policy", spec.removeprefix(SCRIPTED), known))
    return CANARIES[name]


def scripted_player(
    config: Config, spec: str, variants: Sequence[Variant], names_of: Callable[[Variant], Sequence[str]]
) -> Player:
    """The scripted policy on these variants, whose episodes have the ids that `names_of` gives."""
    script, most = script_named(spec), config.dialogue.max_questions
    scripts = {name: _within(script(scene), most) for scene in scenes_of(variants) for name in names_of(scene.variant)}
    return Player(TextScripts(scripts), TextChat(), DialogueLimits(most, AMPLE, AMPLE, AMPLE))


def _within(replies: Replies, most: int) -> Replies:
    """The same with at most so many turns before the last: what is asked in too many is asked in one."""
    *asking, last = replies
    if len(asking) <= most:
        return replies
    return (*asking[: most - 1], " ".join(asking[most - 1 :]), last) if most else (last,)


def scenes_of(variants: Sequence[Variant]) -> list[Scene]:
    """Each variant with a guess: the solution of another problem of its family, where there is one."""
    rng, scenes = Random(0), []
    for variant in variants:
        problem = variant.problem
        kin = [
            other.problem.solution.replace(other.problem.entry_point, problem.entry_point)
            for other in variants
            if other.problem.family == problem.family != "" and other.problem.solution != problem.solution
        ]
        guess = (
            problem.solution if variant.is_clear else rng.choice(kin) if kin else _NOTHING.format(problem.entry_point)
        )
        scenes.append(Scene(variant, code_reply(guess)))
    return scenes


_NOTHING = "def {}(*_):\n    return None\n"
