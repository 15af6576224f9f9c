"""`clarify-rl data dialogues`: variants as dialogues for SFT, in a folder that `datasets` loads, with a data card.

Each dialogue is played through the loop that training and evaluation use: questions by an engineer who asks about what
is missing, answers by the configured user, then code that is known to pass. Clear statements are answered with code at
once. `clarify_share` is the share of dialogues that ask, from 0.2 to 0.8 in ClarifyCoder (arXiv 2504.16331).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from datasets import Dataset

from clarify_rl.config import Config
from clarify_rl.dialogue.chat import TextChat
from clarify_rl.dialogue.episodes import DialogueLimits, run_episodes
from clarify_rl.errors import DataError
from clarify_rl.pipeline.environments import open_pool
from clarify_rl.pipeline.sources import take_turns
from clarify_rl.policies.scripted import TextScripts
from clarify_rl.problems.made import Made
from clarify_rl.problems.overlap import splits
from clarify_rl.seeds import derive_seed
from clarify_rl.synthesis.mix import exemplary_replies, interleaved
from clarify_rl.types import Episode, Pool, Start, Variant

SPLITS = ("train", "dev", "test")
EVALUATION = ("HumanEval", "HumanEvalComm")  # never trained on
# Whose statements may not be passed on, and why.
KEPT_HERE = {"LeetCodeDataset": "its statements are LeetCode's"}
LICENCES = {"MBPP": "CC-BY-4.0 (Austin et al. 2021)", "LeetCodeDataset": "MIT, but the statements are LeetCode's"}
WORDINGS = 4  # of the questions, before a dialogue is given up
_NO_LIMIT = 1 << 30

_CARD = """---
language: [en]
task_categories: [text-generation]
tags: [code, clarifying-questions]
configs:
- config_name: default
  data_files:
{files}
---

# Dialogues that ask before they code

Made by [clarify-rl](https://pypi.org/project/clarify-rl/) from `{name}`: {count} dialogues, {asking} of them with
questions ({share:.0f}%). Every hidden fact is proved by execution: at least three hidden tests tell it from every other
reading, and the code that ends each dialogue passes all of its tests.

| | dialogues | with questions | problems |
|---|---|---|---|
{splits}

- Questions a dialogue: {questions}
- Kinds of facts: {edits}
- What befell them: {kinds}
- Sources: {sources}
- Problems with nearly the same words are in the same split.

## Fields

`messages` (role, content): the dialogue, for any trainer that takes chats. `variant`, `problem`: ids. `kind`: clear,
ambiguous, incomplete, inconsistent or several. `edits`: the kind of each hidden fact. `source`: where the problem is
from. `entry_point`: the function that the tests call.

## Licences of the sources

{licences}
"""


@dataclass(frozen=True)
class Dialogues:
    """What was written: dialogues by split, and those with questions.

    Left out: `kept_here` variants because of their source, `untold` dialogues since the user told not every fact.
    """

    counts: Mapping[str, int]
    asking: int
    kept_here: int
    untold: int


def write_dialogues(
    path: Path,
    folder: Path,
    config: Config,
    *,
    clarify_share: float = 0.5,
    count: int | None = None,
    to_publish: bool = False,
) -> Dialogues:
    """Writes FOLDER/README.md and a Parquet file for each split. `to_publish` leaves out what may not be passed on.

    Raises DataError for a file without enough of either kind, or with problems of an evaluation set.
    """
    if not 0.0 <= clarify_share <= 1.0:
        raise DataError(f"The share of dialogues that ask is between 0 and 1, found {clarify_share}.")
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty. Choose another --out.")
    variants = list(Made(str(path)).variants())
    if trained_on := sorted({variant.problem.source for variant in variants} & {*EVALUATION}):
        raise DataError(f"{path} holds problems of {', '.join(trained_on)}, which are for evaluation only.")
    allowed = [variant for variant in variants if not (to_publish and variant.problem.source in KEPT_HERE)]
    chosen = _chosen(allowed, clarify_share, count, config.seed)
    of_group = splits(variant.problem.family for variant in allowed)
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}  # Any: JSON
    episodes = _told(chosen, config)
    for episode in episodes:
        rows[of_group[episode.variant.problem.family]].append(_row(episode, config.dialogue.instruction))
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in rows.items():
        if part:
            Dataset.from_list(part).to_parquet(folder / f"{split}.parquet")
    (folder / "README.md").write_text(_card(path.name, rows), encoding="utf-8")
    asking = sum(bool(row["edits"]) for part in rows.values() for row in part)
    return Dialogues(
        {split: len(part) for split, part in rows.items()},
        asking,
        len(variants) - len(allowed),
        len(chosen) - len(episodes),
    )


def _chosen(variants: Sequence[Variant], share: float, count: int | None, seed: int) -> list[Variant]:
    unclear = [variant for variant in variants if variant.facts]
    clear = list({variant.prompt: variant for variant in variants if variant.is_clear}.values())
    most = min(len(unclear) / share if share else float("inf"), len(clear) / (1 - share) if share < 1 else float("inf"))
    total = int(most) if count is None else count
    asking = round(total * share)
    rng = Random(f"{seed}/dialogues")
    return interleaved(
        [
            *take_turns(unclear, asking, rng, "unclear variants"),
            *take_turns(clear, total - asking, rng, "clear variants"),
        ]
    )


def _told(variants: Sequence[Variant], config: Config) -> list[Episode]:
    """Dialogues in which the user tells every hidden fact: code that uses what nobody said teaches to guess.

    Where the user did not understand a question, other wordings are tried; what is not understood then is left out.
    """
    told: dict[str, Episode] = {}
    with open_pool(config) as pool:
        for wording in range(WORDINGS):
            left = [variant for variant in variants if variant.id not in told]
            episodes = _played(left, config, pool, derive_seed(config.seed, "wording", wording)) if left else []
            told.update({item.variant.id: item for item in episodes if len(item.revealed) == len(item.variant.facts)})
    return [told[variant.id] for variant in variants if variant.id in told]


def _played(variants: Sequence[Variant], config: Config, pool: Pool, seed: int) -> list[Episode]:
    scripts = {variant.id: exemplary_replies(variant, seed) for variant in variants}
    longest = max((len(script) for script in scripts.values()), default=1)
    episodes = run_episodes(
        [Start(variant, variant.id, derive_seed(seed, "demo", variant.id)) for variant in variants],
        policy=TextScripts(scripts),
        pool=pool,
        chat=TextChat(config.dialogue.instruction, config.dialogue.last_call),
        limits=DialogueLimits(longest, _NO_LIMIT, _NO_LIMIT, _NO_LIMIT),
    )
    for episode in episodes:
        if not episode.solved:
            why = episode.failure or f"it ended with {episode.stop} ({episode.execution})"
            raise DataError(f"The dialogue for {episode.variant.id} does not end with code that passes: {why}.")
    return episodes


def _row(episode: Episode, instruction: str) -> dict[str, Any]:  # Any: JSON
    variant = episode.variant
    messages = [{"role": "user", "content": TextChat(instruction).first_message(variant)}]
    for turn in episode.turns:
        messages.append({"role": "assistant", "content": turn.reply.text})
        if turn.answer:
            messages.append({"role": "user", "content": turn.answer.text})
    return {
        "messages": messages,
        "variant": variant.id,
        "problem": variant.problem.id,
        "kind": "clear" if variant.is_clear else str(variant.facts[0].defect) if len(variant.facts) == 1 else "several",
        "edits": [fact.id for fact in variant.facts],
        "source": variant.problem.source,
        "entry_point": variant.problem.entry_point,
    }


def _card(name: str, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:  # Any: JSON
    every = [row for part in rows.values() for row in part]
    written = {split: part for split, part in rows.items() if part}
    sources = Counter(row["source"] for row in every)
    asking = sum(bool(row["edits"]) for row in every)
    return _CARD.format(
        files="\n".join(
            f"  - split: {'validation' if split == 'dev' else split}\n    path: {split}.parquet" for split in written
        ),
        name=name,
        count=len(every),
        asking=asking,
        share=100 * asking / max(1, len(every)),
        splits="\n".join(
            f"| {split} | {len(part)} | {sum(bool(row['edits']) for row in part)} | "
            f"{len({row['problem'] for row in part})} |"
            for split, part in written.items()
        ),
        questions=_listed(Counter(len(row["edits"]) for row in every)),
        edits=_listed(Counter(edit for row in every for edit in row["edits"])),
        kinds=_listed(Counter(row["kind"] for row in every)),
        sources=_listed(sources),
        licences="\n".join(f"- {source}: {LICENCES.get(source, 'your own; say which here')}" for source in sources),
    )


def _listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common()) or "none"
