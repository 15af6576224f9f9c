"""The procedural problem bank: families of small programming problems, made of facts that have options."""

from clarify_rl.problems.bank.source import Bank

__all__ = ["Bank"]
