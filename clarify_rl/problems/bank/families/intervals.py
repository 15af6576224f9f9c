"""Families over intervals."""

from __future__ import annotations

from clarify_rl.problems.bank.spec import Family

FAMILIES: tuple[Family, ...] = ()
