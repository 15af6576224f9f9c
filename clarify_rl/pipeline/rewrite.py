"""`clarify-rl data rewrite`: statements in a person's voice, by any model that a server or this machine has.

A rewrite is believed only where execution agrees: told all the facts, the model that wrote it must solve it from its
own words, on the hidden tests. And it must not have let slip what it was to keep back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.consult import json_in
from clarify_rl.executor import Executor, Limits
from clarify_rl.pipeline.asking import (
    CPU_S,
    LETTERS_A_TOKEN,
    NO_REPLY,
    SOLVE_TOKENS,
    ask,
    at_once,
    solves,
    structured,
    to_solve,
)
from clarify_rl.pipeline.grown import GrownFile
from clarify_rl.players import Player, player_for
from clarify_rl.problems.made import Made
from clarify_rl.types import Sample, Variant
from clarify_rl.wording import stems

MOST_TOKENS = 700  # of a statement
_LONGEST = 3.0  # times the original

_ASK = """Below is what somebody asks a programmer for. Say it the way a busy colleague would, in your own words: in the
first person, without headings or lists. Keep every requirement and every number. Add nothing, and give no example.
Answer with one JSON object and nothing else: {{"statement": "..."}}

{base}"""
_SCHEMA = {
    "type": "object",
    "properties": {"statement": {"type": "string"}},
    "required": ["statement"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Rewrites:
    """What came of asking: how many were kept, why the others were not, and about how many no reply came."""

    kept: int
    lost: Counter[str]
    unanswered: int = 0

    @property
    def asked(self) -> int:
        return self.kept + self.lost.total()


@dataclass(frozen=True)
class _Parts:
    """A statement taken apart: what is rewritten, what stands in for a fact and stays, and how to call the function."""

    base: str
    shown: tuple[str, ...]
    call: str


def tokens_to_ask(variants: Sequence[Variant]) -> int:
    """About how many tokens will be read and written for these: two requests each."""
    return sum(4 * len(variant.prompt) // LETTERS_A_TOKEN + 2 * 300 for variant in variants)


def estimate(path: Path, limit: int | None = None) -> str:
    """What asking about a file's unclear variants would take, in a sentence."""
    variants = list(islice((variant for variant in Made(str(path)).variants() if variant.facts), limit))
    return f"{len(variants)} variants, 2 requests each, about {tokens_to_ask(variants):,} tokens in all"


def rewrite_named(path: Path, out: Path, spec: str, config: Config, *, limit: int | None = None) -> Rewrites:
    """`rewrite` by the model that `spec` names, with an executor of its own."""
    player = player_for(config, spec)
    with Executor(Limits(cpu_s=CPU_S)) as executor:
        return rewrite(path, out, player, executor, limit=limit)


def rewrite(path: Path, out: Path, player: Player, executor: Executor, *, limit: int | None = None) -> Rewrites:
    """Writes each unclear variant in the model's words behind its clear twin, with ids that end in /voiced.

    An interrupted one goes on, and asks about no variant twice but those for which no reply came.
    """
    held, many = structured(player, "rewrite", _SCHEMA), at_once(player)
    with GrownFile(out) as grown:
        unclear = (variant for variant in Made(str(path)).variants() if variant.facts and variant.id not in grown)
        left = list(islice(unclear, None if limit is None else max(0, limit - len(grown.counts))))
        with tqdm(total=len(left), desc="data rewrite", unit="variant", dynamic_ncols=True) as bar:
            for start in range(0, len(left), many):
                part = left[start : start + many]
                for variant, (why, made) in zip(part, _rewritten(part, player, held, executor), strict=True):
                    if why != NO_REPLY:
                        grown.add(variant.id, made, why)
                    bar.update()
        lost = Counter(why for why in grown.notes.values() if why)
        return Rewrites(sum(map(bool, grown.counts.values())), lost, sum(variant.id not in grown for variant in left))


Decided = tuple[str, list[Variant]]  # why it was lost, or "" with the clear twin and the variant


def _rewritten(variants: Sequence[Variant], player: Player, held: Player, executor: Executor) -> list[Decided]:
    names = [variant.id for variant in variants]
    parts = [taken_apart(variant) for variant in variants]
    replies = ask(held, [_ASK.format(base=part.base) for part in parts], names, MOST_TOKENS)
    read = [_read(reply, variant, part) for reply, variant, part in zip(replies, variants, parts, strict=True)]
    asked = [i for i, (why, _) in enumerate(read) if not why]
    clear = [to_solve(_clear(variants[i], parts[i], read[i][1])) for i in asked]
    answers = ask(player, clear, [f"{names[i]}/solve" for i in asked], SOLVE_TOKENS)
    solved = dict(zip(asked, solves(executor, answers, [variants[i].problem for i in asked]), strict=True))
    decided: list[Decided] = []
    for i, (variant, part) in enumerate(zip(variants, parts, strict=True)):
        why, text = read[i]
        if not why and not solved[i]:
            why = "its own words do not lead to code that passes" if solved[i] is False else NO_REPLY
        decided.append((why, [] if why else _voiced(variant, part, text)))
    return decided


def taken_apart(variant: Variant) -> _Parts:
    """The statement of a variant that `data make` made, by the lines that it was put together from."""
    *lines, call = variant.prompt.split("\n")
    if not call.startswith("Call "):
        lines, call = [*lines, call], ""
    shown = [line for line in lines if any(line and line in fact.replaced_by for fact in variant.facts)]
    if call and any(call in fact.replaced_by for fact in variant.facts):
        shown, call = [*shown, call], ""
    return _Parts("\n".join(line for line in lines if line not in shown), tuple(shown), call)


def _read(reply: Sample, variant: Variant, part: _Parts) -> tuple[str, str]:
    """Why a reply is no rewrite, or "" and the statement in it."""
    if reply.failure:
        return NO_REPLY, ""
    text = (json_in(reply.text or "") or {}).get("statement")
    if not isinstance(text, str) or not text.strip():
        return "no JSON with a statement", ""
    if len(text) > _LONGEST * len(part.base) + 100:
        return "far longer than the original", ""
    told = stems(text) - stems(variant.prompt)
    for fact in variant.facts:
        if fact.defect != "inconsistent" and told & (stems(fact.statement) - stems(part.base)):
            return "it tells what it was to keep back", ""
    return "", " ".join(text.split())


def _clear(variant: Variant, part: _Parts, text: str) -> str:
    stated = [fact.statement for fact in variant.facts]
    call = part.call if part.call.endswith(").") else ""
    return "\n".join(filter(None, [text, *stated, call]))


def _voiced(variant: Variant, part: _Parts, text: str) -> list[Variant]:
    clear = _clear(variant, part, text)
    problem = replace(variant.problem, id=f"{variant.problem.id}/voiced", prompt=clear)
    prompt = "\n".join(filter(None, [text, *part.shown, part.call]))
    return [
        Variant(f"{variant.id}/voiced-clear", problem, clear),
        replace(variant, id=f"{variant.id}/voiced", problem=problem, prompt=prompt),
    ]
