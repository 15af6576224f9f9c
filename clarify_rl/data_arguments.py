"""The arguments of `clarify-rl data make` and its kin."""

from __future__ import annotations

import argparse

from clarify_rl.command_line import Parsers, command, takes_overrides


def add_data(commands: Parsers) -> None:
    make = command(
        commands,
        "data-make",
        "(data make) make unclear variants of problems, each with proof",
        "clarify-rl data make rows,path=mine.jsonl --without humaneval,path=HumanEval.jsonl --out unclear.jsonl",
    )
    make.add_argument("sources", nargs="+", metavar="SOURCE", help="as for check source: rows,path=mine.jsonl")
    make.add_argument("--out", required=True, metavar="FILE.jsonl", help="where they go; an interrupted one goes on")
    make.add_argument("--without", action="append", default=[], metavar="SOURCE", help="an evaluation set to keep out")
    make.add_argument("--seed", type=int, default=0, metavar="N", help="which truths are drawn (default: 0)")
    make.add_argument("--limit", type=int, metavar="N", help="the first N problems only")
    make.add_argument("--workers", type=int, metavar="N", help="references at a time (default: two for each processor)")
    make.add_argument(
        "--ray", action="store_true", help="by actors of Ray (RAY_ADDRESS, or one of this machine), --workers of them"
    )
    _add_data_by_model(commands)
    dialogues = command(
        commands,
        "data-dialogues",
        "(data dialogues) write SFT dialogues to a folder that `datasets` loads, with a data card",
        "clarify-rl data dialogues unclear.jsonl --out dialogues --clarify-share 0.5",
    )
    dialogues.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")
    dialogues.add_argument("--out", required=True, metavar="FOLDER", help="a new folder")
    dialogues.add_argument("--clarify-share", type=float, default=0.5, metavar="X", help="that ask (default: 0.5)")
    dialogues.add_argument("--count", type=int, metavar="N", help="how many (default: as many as the share allows)")
    dialogues.add_argument("--push", metavar="USER/NAME", help="put it on the hub, without what may not be passed on")
    takes_overrides(dialogues, "seed=1")
    show = command(
        commands, "data-show", "(data show) read variants with their proof", "clarify-rl data show unclear.jsonl"
    )
    show.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")
    show.add_argument("--number", type=int, default=5, metavar="N", help="how many (default: 5)")
    show.add_argument("--edit", metavar="NAME", help="with this kind of fact only")
    show.add_argument("--seed", type=int, default=0, metavar="N", help="others for another number")
    stats = command(
        commands, "data-stats", "(data stats) print the mixture of a file", "clarify-rl data stats unclear.jsonl"
    )
    stats.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")


def _add_data_by_model(commands: Parsers) -> None:
    propose = command(
        commands,
        "data-propose",
        "(data propose) have a model name what statements decide; made unclear where execution agrees",
        "clarify-rl data propose mbpp,path=mbpp.jsonl --model openai:http://127.0.0.1:8000/v1#MODEL --out told.jsonl",
    )
    propose.add_argument("sources", nargs="+", metavar="SOURCE", help="as for check source: rows,path=mine.jsonl")
    propose.add_argument("--without", action="append", default=[], metavar="SOURCE", help="an evaluation set")
    _asks_a_model(propose, "the first N problems only")
    rewrite = command(
        commands,
        "data-rewrite",
        "(data rewrite) have a model say the statements in a person's voice; kept where its code still passes",
        "clarify-rl data rewrite unclear.jsonl --model openai:http://127.0.0.1:8000/v1#MODEL --out voiced.jsonl",
    )
    rewrite.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")
    _asks_a_model(rewrite, "the first N unclear variants only")
    judge = command(
        commands,
        "data-judge",
        "(data judge) keep the variants that a model solves more often told than not",
        "clarify-rl data judge unclear.jsonl --model openai:http://127.0.0.1:8000/v1#MODEL --out judged.jsonl",
    )
    judge.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")
    judge.add_argument("--samples", type=int, default=1, metavar="N", help="programs for each way (default: 1)")
    _asks_a_model(judge, "the first N unclear variants only")


def _asks_a_model(parser: argparse.ArgumentParser, limit: str) -> None:
    parser.add_argument("--model", required=True, metavar="SPEC", help="a model here, or openai:URL#MODEL on a server")
    parser.add_argument("--out", required=True, metavar="FILE.jsonl", help="where they go; an interrupted one goes on")
    parser.add_argument("--limit", type=int, metavar="N", help=limit)
    parser.add_argument("--estimate", action="store_true", help="say how many tokens it would take, and ask nobody")
    takes_overrides(parser, "eval.server.parallel=32")
