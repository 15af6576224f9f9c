"""What the arguments of all commands share: each `--help` shows one example that works when pasted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

from clarify_rl.errors import RunFolderError

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


def new_folder(name: str) -> Path:
    """A folder to write to that holds nothing yet. RunFolderError for any other."""
    folder = Path(name)
    if folder.is_file() or (folder.exists() and any(folder.iterdir())):
        raise RunFolderError(f"{folder} is {'a file' if folder.is_file() else 'not empty'}. Choose another with --out.")
    return folder
