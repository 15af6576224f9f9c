"""`clarify-rl data rewrite`: statements in a person's voice, by any model that a server or this machine has.

A rewrite is believed only where execution agrees: told all the facts, the model that wrote it must solve it from its
own words, on the hidden tests. And it must not have let slip what it was to keep back.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import Chat
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.executor import Executor, Limits, Trial
from clarify_rl.parallel import in_order
from clarify_rl.players import Player, player_for
from clarify_rl.problems.made import Made
from clarify_rl.records import to_record
from clarify_rl.types import Message, Request, Sample, Variant
from clarify_rl.wording import stems

CPU_S = 3.0  # processor seconds of a program with all of its tests
AT_ONCE = 64  # variants that are asked about together
MOST_TOKENS = 700  # of a reply
_LETTERS_A_TOKEN = 4
_LONGEST = 3.0  # times the original

_ASK = """Below is what somebody asks a programmer for. Say it the way a busy colleague would, in your own words: in the
first person, without headings or lists. Keep every requirement and every number. Add nothing, and give no example.
Answer with one JSON object and nothing else: {{"statement": "..."}}

{base}"""
_SOLVE = """Write the function, as one fenced Python block with the whole function and nothing else.

{statement}"""


@dataclass(frozen=True)
class Rewrites:
    """What came of asking: how many were kept, and why the others were not."""

    kept: int
    lost: Counter[str]

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
    return sum(4 * len(variant.prompt) // _LETTERS_A_TOKEN + 2 * 300 for variant in variants)


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

    An interrupted one goes on: FILE.done has a line for every variant that was decided.
    """
    done_path = out.with_name(f"{out.name}.done")
    done = dict(_lines(done_path))
    lost = Counter(why for why in done.values() if why)
    unclear = (variant for variant in Made(str(path)).variants() if variant.facts and variant.id not in done)
    left = list(islice(unclear, None if limit is None else max(0, limit - len(done))))
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file, done_path.open("a", encoding="utf-8") as marks:
        for start in tqdm(range(0, len(left), AT_ONCE), desc="data rewrite", unit="batch", dynamic_ncols=True):
            part = left[start : start + AT_ONCE]
            for variant, (why, made) in zip(part, _rewritten(part, player, executor), strict=True):
                file.writelines(json.dumps(to_record(item)) + "\n" for item in made)
                file.flush()
                marks.write(json.dumps([variant.id, why]) + "\n")
                marks.flush()
                done[variant.id] = why
                lost.update([why] if why else [])
    return Rewrites(sum(not why for why in done.values()), lost)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    if path.exists():
        yield from (tuple(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())


Decided = tuple[str, list[Variant]]  # why it was lost, or "" with the clear twin and the variant


def _rewritten(variants: Sequence[Variant], player: Player, executor: Executor) -> list[Decided]:
    parts = [taken_apart(variant) for variant in variants]
    replies = _said(player, [_ASK.format(base=part.base) for part in parts], variants, turn=0)
    read = [_read(reply, variant, part) for reply, variant, part in zip(replies, variants, parts, strict=True)]
    asked = [i for i, (why, _) in enumerate(read) if not why]
    clear = [_clear(variants[i], parts[i], read[i][1]) for i in asked]
    solved = dict(zip(asked, _solved(player, executor, [variants[i] for i in asked], clear), strict=True))
    decided: list[Decided] = []
    for i, (variant, part) in enumerate(zip(variants, parts, strict=True)):
        why, text = read[i]
        if not why and not solved[i]:
            why = "its own words do not lead to code that passes"
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
        return "the model gave no reply", ""
    match = re.search(r"\{.*\}", reply.text or "", re.DOTALL)
    try:
        text = json.loads(match.group(), strict=False).get("statement") if match else None
    except (ValueError, AttributeError):
        text = None
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


def _solved(player: Player, executor: Executor, variants: Sequence[Variant], clear: Sequence[str]) -> list[bool]:
    """Whether the model solves each from its own words, told all the facts."""
    replies = _said(player, [_SOLVE.format(statement=statement) for statement in clear], variants, turn=1)

    def run(item: tuple[Variant, Sample]) -> bool:
        variant, reply = item
        code = parse_reply(reply.text or "", finished=reply.finished).code
        problem = variant.problem
        return (
            code is not None
            and executor.run_trial(Trial(code, problem.entry_point, problem.tests, problem.prelude)).solved
        )

    return list(in_order(run, zip(variants, replies, strict=True), executor.most_servers))


def _said(player: Player, texts: Iterable[str], variants: Sequence[Variant], turn: int) -> list[Sample]:
    """What the model says to each text, as text."""
    requests = []
    for text, variant in zip(texts, variants, strict=True):
        messages = (Message("user", text),)
        context = player.chat.context_ids(messages) if isinstance(player.chat, Chat) else ()
        requests.append(Request(context, MOST_TOKENS, variant.id, turn, 0, messages))
    samples = player.policy.generate(requests) if requests else []
    return [
        sample
        if sample.text is not None or sample.failure
        else replace(sample, text=player.chat.decode(sample.token_ids))
        for sample in samples
    ]
