"""The arguments of `clarify-rl check`."""

from __future__ import annotations

import argparse

from clarify_rl.command_line import Parsers, command


def add_check(commands: Parsers) -> None:
    parser = commands.add_parser("check", help="try out that something holds", description="Try out that it holds.")
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_check_executor, _add_check_source, _add_check_user, _add_check_reward, _add_check_env):
        add(inner)


def _add_check_executor(commands: Parsers) -> None:
    executor = command(
        commands,
        "executor",
        "run hostile and honest programs and say which got through; exits with 1 if any did",
        "clarify-rl check executor --limit 20",
    )
    executor.add_argument(
        "--corpus",
        metavar="FILE.jsonl",
        help='programs of your own: {"name": ..., "kind": "fp", "program": ...} a line',
    )
    executor.add_argument("--servers", type=int, default=2, metavar="N", help="programs at a time (default: 2)")
    executor.add_argument(
        "--without",
        nargs="+",
        default=[],
        metavar="LAYER",
        help="layers to do without, e.g. namespaces files; the rest must still make tier A or B",
    )
    executor.add_argument(
        "--cpu-seconds", type=float, default=2.0, metavar="S", help="processor seconds of a program (default: 2)"
    )
    executor.add_argument("--limit", type=int, metavar="N", help="the most programs of each kind to run")


def _add_check_source(commands: Parsers) -> None:
    source = command(
        commands,
        "source",
        "say whether problems can be trained on: their references, doubles, contamination, facts; exits with 1 if not",
        "clarify-rl check source rows,path=problems.jsonl --against humaneval,path=HumanEval.jsonl",
    )
    source.add_argument(
        "source", metavar="SOURCE", help="its name or file.py:name, then its options: mbpp,path=mbpp.jsonl,first=511"
    )
    source.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="SOURCE",
        help="an evaluation set it must not hold; repeatable",
    )
    source.add_argument("--limit", type=int, metavar="N", help="look at the first N problems only")


def _add_check_user(commands: Parsers) -> None:
    user = command(
        commands,
        "user",
        "say how well a simulated user understands questions, and whether it leaks; exits with 1 below the bounds",
        "clarify-rl check user rule_based --min-recall 0.8 --max-wrong 0.05",
    )
    user.add_argument(
        "user", metavar="USER", help="its name or file.py:name, then its options: llm,model=openai:URL#MODEL"
    )
    user.add_argument(
        "--pairs",
        metavar="FILE.jsonl",
        help="labelled questions, {prompt, facts, question, accept} a line (default: our own, about the bank)",
    )
    user.add_argument("--min-recall", type=float, metavar="SHARE", help="of the questions about a hidden fact")
    user.add_argument("--max-wrong", type=float, metavar="SHARE", help="of those, answered with another fact")
    user.add_argument("--max-false", type=float, metavar="SHARE", help="of the others, answered with a fact")
    user.add_argument("--once", action="store_true", help="ask each question in one way, not in eight: for a slow user")
    user.add_argument("--limit", type=int, metavar="N", help="ask the first N questions only")
    user.add_argument("--out", metavar="FILE.json", help="write the report as JSON too")


def _add_check_reward(commands: Parsers) -> None:
    reward = command(
        commands,
        "reward",
        "say whether rewards prefer asking what is missing to policies that game them; exits with 1 if not",
        "clarify-rl check reward 'rewards=[{use: pass_rate}, {use: ask_f1, weight: 0.3}]'",
    )
    reward.add_argument(
        "rewards", nargs="*", metavar="REWARD", help="its name or file.py:name, or a mix (default: the demo's mix)"
    )
    _takes_variants(reward, 200)


def _add_check_env(commands: Parsers) -> None:
    env = command(
        commands,
        "env",
        "say every kind of reply to an environment and look at what comes back; exits with 1 where it breaks its word",
        "clarify-rl check env ask_or_code --count 4",
    )
    env.add_argument(
        "items",
        nargs="*",
        default=[],
        metavar="ENV | key=value",
        help="its name or file.py:name (default: ask_or_code), then settings, e.g. env.user=llm",
    )
    _takes_variants(env, 8)


def _takes_variants(parser: argparse.ArgumentParser, count: int) -> None:
    parser.add_argument("--suite", default="bank", help="bank (the default), or a HumanEvalComm.jsonl")
    parser.add_argument("--made", metavar="FILE.jsonl", help="variants that `data make` wrote, in place of a suite")
    parser.add_argument("--count", type=int, default=count, metavar="N", help="variants (default: %(default)s)")
