"""Asking for all that is missing and for nothing else, as one number."""

from __future__ import annotations

from clarify_rl.registry import reward
from clarify_rl.types import Episode, Outcome, Rating


@reward("ask_f1")
def ask_f1(episode: Episode) -> Rating:
    """The harmonic mean of question precision (revealed something) and fact recall; after HiL-Bench, arXiv 2604.09408.

    Where nothing is missing it is 1 without a question, and else 0. Facts that a user volunteered are nobody's merit.
    """
    questions, facts = len(episode.questions), len(episode.variant.facts)
    if not facts:
        return Rating(float(not questions), why=f"{questions} questions, nothing missing")
    precision = episode.outcomes.count(Outcome.REVEALED) / questions if questions else 0.0
    recall = len(episode.revealed) / facts
    mean = 2 * precision * recall / (precision + recall) if precision and recall else 0.0
    return Rating(mean, why=f"precision {precision:.2f}, recall {recall:.2f}")
