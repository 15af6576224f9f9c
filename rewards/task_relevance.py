"""Which of the missing facts decide whether the code passes, and how much of that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Fact, Rating


@reward("task_relevance")
@dataclass(frozen=True)
class TaskRelevance:
    """The share of the chance to solve that hangs on the facts that were asked for and told; after CLARITI's relevance.

    Somebody who knows some facts and guesses the others solves by the product of the chances of these guesses, each
    1 / (1 + its other readings). A fact's relevance is its exact Shapley value in that game, as a share of what all
    facts bring together. Other readings are those that the hidden tests were seen to tell from the truth
    (`Fact.told_by`); for a fact whose source did not count, they are `readings`. 0 where nothing is missing.
    arXiv 2604.14624.
    """

    readings: int = 1

    def __call__(self, episode: Episode) -> Rating:
        facts = episode.variant.facts
        shares = dict(
            zip((fact.id for fact in facts), shapley(tuple(self._chance(fact) for fact in facts)), strict=True)
        )
        known: set[str] = set()
        brought = []
        for turn in episode.turns:
            new = set(turn.answer.revealed if turn.answer else ()) - known
            known |= new
            brought.append(sum(shares.get(fact, 0.0) for fact in new))
        return Rating.of_turns(brought, why=", ".join(f"{fact} {shares.get(fact, 0.0):.2f}" for fact in sorted(known)))

    def _chance(self, fact: Fact) -> float:
        counted = sum(telling.tests > 0 for telling in fact.told_by) if fact.told_by else self.readings
        return 1 / (1 + counted)


@lru_cache(maxsize=4096)
def shapley(chances: tuple[float, ...]) -> tuple[float, ...]:
    """Each fact's share of what all bring together, where unknown ones are guessed with these chances; they sum to 1.

    With v(S) the product of the chances of facts outside S, the marginal gain of a fact is (1 - its chance) times the
    product over the rest outside S. Sums over sets of one size are elementary symmetric polynomials of the others'
    chances, so that no subset need be counted out. All 0 where guesses are never wrong.
    """
    count = len(chances)
    values = []
    for place, chance in enumerate(chances):
        unknown = _symmetric(chances[:place] + chances[place + 1 :])  # by how many of the others are unknown
        weighed = (unknown[left] / (count * comb(count - 1, left)) for left in range(count))
        values.append((1 - chance) * sum(weighed))
    whole = sum(values)
    return tuple(value / whole if whole else 0.0 for value in values)


def _symmetric(chances: tuple[float, ...]) -> list[float]:
    """The elementary symmetric polynomials of all degrees."""
    sums = [1.0]
    for chance in chances:
        sums = [before + chance * lower for before, lower in zip([*sums, 0.0], [0.0, *sums], strict=True)]
    return sums
