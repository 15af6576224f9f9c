"""The variants of an evaluation suite."""

from __future__ import annotations

from clarify_rl.config_files import load_config
from clarify_rl.pipeline.data import suite_variants

SMALL = ["eval.suites.new_instances.count=6"]


def variants(*overrides: str) -> list[str]:
    config = load_config("demo", [*SMALL, *overrides])
    return [variant.id for variant in suite_variants(config, "new_instances", config.eval.suites["new_instances"])]


def test_a_suite_holds_the_same_variants_for_every_seed_of_training() -> None:
    assert variants("seed=0") == variants("seed=1")


def test_another_draw_of_a_suite_holds_other_variants() -> None:
    assert not set(variants()) & set(variants("eval.suites.new_instances.draw=1"))


def test_a_suite_of_the_dev_split_shares_no_variant_with_the_test_split() -> None:
    assert not set(variants()) & set(variants("eval.suites.new_instances.split=dev"))
