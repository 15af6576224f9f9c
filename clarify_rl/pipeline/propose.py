"""`clarify-rl data propose`: decisions that a model finds in problems, made unclear where execution agrees.

For each problem a model names decisions that somebody could have wanted otherwise: the statement without each, the
sentences and programs of both, questions and answers. Ambiguous, contradictory and incomplete variants follow from them
as from those of the edits, under the same proof. Nothing is believed before execution agrees:

- the other program runs, and at least three hidden tests tell it from the reference;
- what the model's own code does without asking is taken as the guesser's default, which is never the truth;
- told everything, the model's own code passes: what it said is enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.consult import json_in
from clarify_rl.executor import Executor, Limits
from clarify_rl.parallel import in_order
from clarify_rl.pipeline.asking import (
    LETTERS_A_TOKEN,
    NO_REPLY,
    SOLVE_TOKENS,
    ask,
    at_once,
    program_in,
    solves,
    structured,
    to_solve,
)
from clarify_rl.pipeline.grown import GrownFile
from clarify_rl.pipeline.make import CPU_S, EVALUATED, EvaluationSets
from clarify_rl.players import Player, player_for
from clarify_rl.problems.programs import parameters
from clarify_rl.registry import source_from_text
from clarify_rl.synthesis.facts import call_line
from clarify_rl.synthesis.proposals import SCHEMA, Proposal, facts_of, proposals_asked, proposals_in
from clarify_rl.synthesis.unclear import Synthesis
from clarify_rl.types import Problem, Sample, Skipped, Source, Tests, Variant

MOST_TOKENS = 2000  # of a proposal
REQUESTS = 3  # for each problem, about: the proposal, a guess and a solution for each fact
UNPROVED = "no three tests tell its two programs apart"


@dataclass(frozen=True)
class Proposals:
    """What came of asking about problems: variants kept, and why facts and problems were lost, counted."""

    problems: int
    with_facts: int
    variants: int
    lost: Mapping[str, int]
    unanswered: int = 0  # problems about which no reply came


def estimate(sources: Sequence[str], limit: int | None = None) -> str:
    """What asking would take, in a sentence; reads the sources."""
    problems = list(islice(_problems([source_from_text(text) for text in sources]), limit))
    letters = sum(len(problem.prompt) + len(problem.solution) for problem in problems)
    tokens = REQUESTS * letters // LETTERS_A_TOKEN + len(problems) * (MOST_TOKENS + 2 * SOLVE_TOKENS) // 2
    return f"{len(problems)} problems, about {REQUESTS} requests and more each, about {tokens:,} tokens in all"


def propose_named(
    sources: Sequence[str], against: Sequence[str], out: Path, spec: str, config: Config, *, limit: int | None = None
) -> Proposals:
    """`propose` by the model that `spec` names, for sources as a shell names them."""
    named, kept_out = (list(map(source_from_text, texts)) for texts in (sources, against))
    player = player_for(config, spec)
    with Executor(Limits(cpu_s=CPU_S)) as executor:
        return propose(named, kept_out, out, player, executor, seed=config.seed, limit=limit)


def propose(
    sources: Sequence[Source],
    against: Sequence[Source],
    out: Path,
    player: Player,
    executor: Executor,
    *,
    seed: int = 0,
    limit: int | None = None,
) -> Proposals:
    """Writes the variants that come of a model's proposals.

    An interrupted one goes on, and asks again only where no reply came.
    """
    synthesis = Synthesis(executor, seed)
    held, many = structured(player, "decisions", SCHEMA), at_once(player)
    unanswered = 0
    with EvaluationSets(against, servers=executor.servers) as evaluated, GrownFile(out) as grown:
        fresh = (problem for problem in islice(_problems(sources), limit) if problem.id not in grown)
        with tqdm(desc="data propose", unit="problem", dynamic_ncols=True) as bar:
            while part := list(islice(fresh, many)):
                for problem, (variants, note) in zip(
                    part, _made(part, player, held, synthesis, evaluated), strict=True
                ):
                    if NO_REPLY in note:
                        unanswered += 1
                    else:
                        grown.add(problem.id, variants, note)
                    bar.update()
                bar.set_postfix(variants=grown.variants, refresh=False)
        notes = Counter(line for note in grown.notes.values() for line in note.split("; ") if line)
        counts = grown.counts.values()
        return Proposals(len(counts), sum(map(bool, counts)), grown.variants, notes, unanswered)


def _problems(sources: Sequence[Source]) -> Iterator[Problem]:
    """The problems that can be asked about: those with pairs as tests."""
    for source in sources:
        for item in source.read():
            if not isinstance(item, Skipped) and isinstance(item.tests, Tests):
                yield item


Made = tuple[list[Variant], str]  # the variants of a problem, and why others were lost, "; " between the reasons


def _made(
    problems: Sequence[Problem], player: Player, held: Player, synthesis: Synthesis, evaluated: EvaluationSets
) -> list[Made]:
    executor = synthesis.executor
    known = list(in_order(evaluated.holds, problems, executor.most_servers))
    asked = [problem for problem, is_known in zip(problems, known, strict=True) if not is_known]
    texts = [proposals_asked(problem) for problem in asked]
    replies = ask(held, texts, [problem.id for problem in asked], MOST_TOKENS)
    read = [_read(reply, problem) for reply, problem in zip(replies, asked, strict=True)]
    guessed = _guessed(player, asked, read)
    proved = in_order(
        lambda item: synthesis.variants_of(item[0], facts_of(item[1][0])),
        zip(asked, guessed, strict=True),
        executor.most_servers,
    )
    made = list(proved)
    settled = _settled(player, executor, made)
    decided = {}
    for problem, (proposals, whys), variants, (kept, more) in zip(asked, guessed, made, settled, strict=True):
        found = {fact.id for variant in variants for fact in variant.facts}
        unproved = [UNPROVED] * (len(proposals) - len(found))
        decided[problem.id] = kept, "; ".join([*whys, *unproved, *more])
    return [decided.get(problem.id, ([], EVALUATED)) for problem in problems]


def _read(reply: Sample, problem: Problem) -> tuple[list[Proposal], list[str]]:
    """The proposals that are sound as far as reading shows, and why the others are not."""
    return ([], [NO_REPLY]) if reply.failure else proposals_in(json_in(reply.text or ""), problem)


def _guessed(
    player: Player, problems: Sequence[Problem], read: Sequence[tuple[list[Proposal], list[str]]]
) -> list[tuple[list[Proposal], list[str]]]:
    """The proposals with what the model writes when it is told the rest only."""
    asked = [(problem, item) for problem, (items, _) in zip(problems, read, strict=True) for item in items]
    texts = [to_solve(f"{item.rest}\n{_call(problem)}") for problem, item in asked]
    names = [f"{problem.id}/{item.kind}/guess" for problem, item in asked]
    replies = iter(ask(player, texts, names, SOLVE_TOKENS))
    guessed = []
    for items, whys in read:
        own = [next(replies) for _ in items]
        more = [NO_REPLY] if any(reply.failure for reply in own) else []
        told = [replace(item, guess=program_in(reply)) for item, reply in zip(items, own, strict=True)]
        guessed.append((told, [*whys, *more]))
    return guessed


def _call(problem: Problem) -> str:
    return call_line(problem.entry_point, parameters(problem.solution, problem.entry_point))


def _settled(
    player: Player, executor: Executor, made: Sequence[Sequence[Variant]]
) -> list[tuple[list[Variant], list[str]]]:
    """The variants whose clear twins the model's own code solves, with those twins."""
    twins = list({variant.problem.id: variant.problem for variants in made for variant in variants}.values())
    names = [f"{problem.id}/solve" for problem in twins]
    replies = ask(player, [to_solve(problem.prompt) for problem in twins], names, SOLVE_TOKENS)
    solved = dict(zip([problem.id for problem in twins], solves(executor, replies, twins), strict=True))
    return [
        (
            [variant for variant in variants if solved[variant.problem.id]],
            [
                "told everything, its own code fails" if came is False else NO_REPLY
                for came in {variant.problem.id: solved[variant.problem.id] for variant in variants}.values()
                if not came
            ],
        )
        for variants in made
    ]
