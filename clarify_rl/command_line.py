"""What the arguments of all commands share: each `--help` shows one example that works when pasted."""

from __future__ import annotations

import argparse
from typing import TypeAlias

Arguments = argparse.Namespace
Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command(commands: Parsers, name: str, does: str, example: str) -> argparse.ArgumentParser:
    """A command and its example. `command` of the parsed arguments is its name, e.g. `run` or `config show`."""
    parser = commands.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--verbose", action="store_true", help="show the libraries' warnings too")
    parser.set_defaults(command=parser.prog.removeprefix("clarify-rl "))
    return parser


def takes_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a shipped configuration (clarify-rl config list) or a file")
    takes_overrides(parser)


def takes_overrides(parser: argparse.ArgumentParser, example: str = "rl.trainer.max_steps=20") -> None:
    parser.add_argument(
        "items", nargs="*", default=[], metavar="key=value", help=f"a setting to change, e.g. {example}"
    )
