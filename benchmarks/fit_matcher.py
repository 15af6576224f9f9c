"""Fits the weights of the users' matcher to labelled questions, and says how well they do on problems left out.

    python -m benchmarks.fit_matcher [PAIRS.jsonl ...]

Our own questions about the bank (clarify_rl/matching/questions.txt) are always among them. PAIRS are rows as
`clarify-rl check user --pairs` reads them. Prints figures by halves of the problems, each predicted by weights fitted
on the other one, and then the weights of all, as they stand in clarify_rl/matching/matcher.py.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from clarify_rl.matching import matcher
from clarify_rl.matching.documents import documents_of
from clarify_rl.matching.pairs import Pair, Rates, judge, read_pairs
from clarify_rl.pipeline.check_user import builtin_pairs

Weights = Mapping[str, float]
RIDGE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path, nargs="*")
    pairs = [pair for path in parser.parse_args().pairs for pair in read_pairs(path)] + builtin_pairs()
    for name, is_one in _KINDS.items():
        kind = [pair for pair in pairs if is_one(pair)]
        halves = [[pair for pair in kind if _half(pair) == half] for half in (0, 1)]
        across = [judge(_user(fit(halves[1 - half])), halves[half]) for half in (0, 1)]
        print(f"{name}, each half by the other's weights: {Rates.together(across)}")
        weights = fit(kind)
        print(f"{name}, by its own: {judge(_user(weights), kind)}")
        print(f"{name} = {{")
        print(*(f'    "{feature}": {weight:.2f},' for feature, weight in weights.items()), "}", sep="\n")


_KINDS: Mapping[str, Callable[[Pair], bool]] = {
    "DESCRIBED": lambda pair: documents_of(pair.variant).described or not pair.variant.facts,
    "PIECES": lambda pair: bool(pair.variant.facts) and not documents_of(pair.variant).described,
}


def fit(pairs: Sequence[Pair]) -> Weights:
    """Logistic regression over (question, hidden fact): is the question about this fact?"""
    rows: list[list[float]] = []
    labels: list[float] = []
    names: list[str] = []
    for pair in pairs:
        documents = documents_of(pair.variant)
        for document, row in zip(documents.hidden, matcher.features(documents, pair.question), strict=False):
            assert document.fact is not None
            names = list(row)
            rows.append(list(row.values()))
            labels.append(float(document.fact.id in pair.accept))
    inputs, targets = torch.tensor(rows, dtype=torch.float64), torch.tensor(labels, dtype=torch.float64)
    weights = torch.zeros(len(names), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights, targets)
        value = value + RIDGE / 10 * (weights[1:] ** 2).mean()
        value.backward()
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it without types
    return dict(zip(names, weights.detach().tolist(), strict=True))


def _half(pair: Pair) -> int:
    """Problems, and families of the bank, are never in both halves."""
    group = pair.variant.id.split("/")[1]
    return int(hashlib.md5(group.encode()).hexdigest(), 16) % 2


def _user(weights: Weights) -> Callable[[Pair], Sequence[str]]:
    def revealed(pair: Pair) -> Sequence[str]:
        matcher.DESCRIBED = matcher.PIECES = weights
        return matcher.Matcher().match(pair.variant, pair.question).facts

    return revealed


if __name__ == "__main__":
    main()
