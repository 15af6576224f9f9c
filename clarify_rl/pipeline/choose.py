"""One problem to play: a variant of a run's data, or a new one of a kind."""

from __future__ import annotations

from pathlib import Path
from random import Random

from clarify_rl.config import Config
from clarify_rl.errors import DataError
from clarify_rl.eval_sections import SuiteConfig
from clarify_rl.pipeline.data import suite_variants
from clarify_rl.store import read_variants
from clarify_rl.types import Defect, Variant


def choose_variant(config: Config, *, variant_id: str | None, kind: str | None, seed: int) -> Variant:
    """The variant of that id in the run's data, or a new one of that kind from the bank's test problems."""
    if variant_id:
        return _variant_with_id(config.folder / "data", variant_id)
    sorted_kind = "+".join(sorted(kind.split("+"))) if kind else None
    defects = sorted_kind.split("+") if sorted_kind and sorted_kind != "clear" else []
    known = [defect.value for defect in Defect]
    if not set(defects) <= set(known):
        raise DataError(f"No kind {kind!r}. Known: clear, {', '.join(known)}, or several joined by '+'.")
    suite = SuiteConfig.model_validate(
        {
            "families": "held_out" if config.data.held_out else "trained",
            "count": 1 if sorted_kind is None or len(defects) < 2 else 20,
            "clear_share": 1.0 if sorted_kind == "clear" else 0.0,
            "missing": {max(len(defects), 1): 1},
            **({"defects": dict.fromkeys(defects, 1.0)} if defects else {}),
        }
    )
    variants = suite_variants(config, f"play/{seed}", suite)
    matching = [variant for variant in variants if sorted_kind in (None, variant.kind)]
    if not matching:
        raise DataError(f"Found no variant of kind {sorted_kind!r} in {len(variants)} tries. Try another --seed.")
    return Random(f"{seed}/play").choice(matching)


def _variant_with_id(folder: Path, variant_id: str) -> Variant:
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise DataError(
            f"{folder} has no variants to choose from. Run `clarify-rl data` first, or leave out --variant."
        )
    for path in files:
        for variant in read_variants(path):
            if variant.id == variant_id:
                return variant
    raise DataError(f"No variant {variant_id!r} in {folder}. Ids are in its files and in report.html.")
