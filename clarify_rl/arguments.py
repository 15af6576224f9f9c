"""The arguments of every command: each `--help` shows one example that works when pasted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import clarify_rl
from clarify_rl.check_arguments import add_check
from clarify_rl.command_line import Arguments, Parsers, command, takes_config, takes_overrides
from clarify_rl.data_arguments import add_data
from clarify_rl.reading_arguments import add_reading


def parse(argv: Sequence[str]) -> Arguments:
    """The arguments of one command; key=value pairs may stand anywhere behind CONFIG."""
    parser = make_parser()
    argv = _of_data(argv)
    if not argv:
        parser.print_help()
        parser.exit(2)
    arguments, rest = parser.parse_known_args(argv)
    # argparse fills a list of positionals at the first option, and calls those behind it unknown.
    late = [item for item in rest if not item.startswith("-")]
    if len(late) < len(rest) or (late and not hasattr(arguments, "items")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}{_meant(rest, arguments)}")
    if hasattr(arguments, "items"):
        arguments.items = [*arguments.items, *late]
    arguments.argv = ["clarify-rl", *argv]
    return arguments


def _meant(rest: Sequence[str], arguments: Arguments) -> str:
    """A hint for settings that are written as options, such as `--seed 3`."""
    if not hasattr(arguments, "items"):
        return ""
    meant = []
    for place, item in enumerate(rest):
        if item.startswith("--"):
            name, given, value = item[2:].partition("=")
            following = rest[place + 1] if place + 1 < len(rest) else ""
            meant.append(f"{name}={value if given else following.lstrip('-') or '...'}")
    return f". Settings are written without dashes: {' '.join(meant)}" if meant else ""


def _of_data(argv: Sequence[str]) -> Sequence[str]:
    """`data make` and its kin are commands of their own beside the stage `data CONFIG`."""
    return [f"data-{argv[1]}", *argv[2:]] if [*argv[:1]] == ["data"] and argv[1:2] and argv[1] in _OF_DATA else argv


_OF_DATA = ("make", "propose", "rewrite", "judge", "dialogues", "show", "stats")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clarify-rl",
        description="Reinforcement learning for code models that ask before they guess.",
        epilog="example:\n  clarify-rl run demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"clarify-rl {clarify_rl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_stages(commands)
    _add_submit(commands)
    _add_eval(commands)
    add_reading(commands)
    _add_play(commands)
    _add_export(commands)
    _add_pretrain(commands)
    _add_config(commands)
    _add_doctor(commands)
    add_check(commands)
    add_data(commands)
    return parser


def _add_run(commands: Parsers) -> None:
    parser = command(
        commands, "run", "make data, train, evaluate and compare, in one run folder", "clarify-rl run demo"
    )
    takes_config(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the run in this folder")
    parser.add_argument("--dry-run", action="store_true", help="check everything and say what would be done")


def _add_stages(commands: Parsers) -> None:
    does = {
        "data": "make the variants of a run",
        "sft": "train the SFT checkpoint of a run whose data is made",
        "rl": "train the RL checkpoint of a run whose SFT is done",
    }
    for name, what in does.items():
        parser = command(commands, name, what, f"clarify-rl {name} demo")
        takes_config(parser)
        parser.add_argument("--resume", action="store_true", help="go on with what was begun (a stage always does)")


def _add_submit(commands: Parsers) -> None:
    parser = command(
        commands,
        "submit",
        "run as a job on a Ray cluster, with the code that is installed here",
        "clarify-rl submit demo --address http://127.0.0.1:8265",
    )
    takes_config(parser)
    parser.add_argument(
        "--address",
        default="http://127.0.0.1:8265",
        metavar="URL",
        help="the dashboard of the cluster's head (default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in this `out` on the cluster")
    parser.add_argument("--no-wait", action="store_true", help="print how to follow the job, and leave it")


def _add_eval(commands: Parsers) -> None:
    parser = command(
        commands,
        "eval",
        "evaluate the checkpoints of a run, or any models on a suite",
        "clarify-rl eval --model embedded --suite bank --limit 20",
    )
    parser.add_argument(
        "items",
        nargs="*",
        metavar="RUN_FOLDER | key=value",
        help="a run folder, or settings to change (of a run: eval.suites, eval.also, eval.users, engine)",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]SPEC",
        help="a folder, hub name, .gguf, or openai:URL#MODEL; may be repeated",
    )
    parser.add_argument(
        "--suite",
        help="bank, a HumanEvalComm.jsonl, its hub name jie-jw-wu/HumanEvalComm, or a source with its options, such as "
        "mbpp,path=mbpp.jsonl; of a run, one more suite",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the most prompts to take")
    parser.add_argument("--samples", type=int, metavar="N", help="episodes of each prompt, for pass@k")
    parser.add_argument("--temperature", type=float, metavar="T", help="of sampling (default: 0, greedy)")
    parser.add_argument("--out", metavar="FOLDER", help="the run folder to make (default: runs/SUITE-NAMES)")
    parser.add_argument("--instruction", metavar="TEXT", help="what stands before each problem")
    parser.add_argument("--last-call", metavar="TEXT", help="what follows the last answer")
    parser.add_argument("--max-questions", type=int, metavar="K", help="how many turns may ask")
    parser.add_argument("--turn-tokens", type=int, metavar="N", help="the most tokens of one reply")


def _add_play(commands: Parsers) -> None:
    parser = command(commands, "play", "be the user of a model", "clarify-rl play --kind incomplete --seed 3")
    takes_overrides(parser, "dialogue.max_questions=1")
    parser.add_argument("--model", metavar="SPEC", help="default: the newest checkpoint of the configured run")
    parser.add_argument("--config", default="demo", help="dialogue settings, families and run folder (default: demo)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--variant", metavar="ID", help="a variant of the run's data")
    which.add_argument("--kind", help="clear, ambiguous, incomplete, inconsistent, or several joined by '+'")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="chooses the problem (default: 0)")


def _add_export(commands: Parsers) -> None:
    parser = command(
        commands,
        "export",
        "write a model for other programs: an adapter merged into its base, or alone",
        "clarify-rl export runs/demo/models/rl --out exported",
    )
    parser.add_argument("model", metavar="SPEC", help="a folder, an adapter's folder, a hub name, or .gguf")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a new folder")
    parser.add_argument(
        "--adapter", action="store_true", help="only the adapter, naming its base so that peft and vLLM find it"
    )
    parser.add_argument("--dtype", default="float32", help="of the weights written: float32, bfloat16 or float16")


def _add_pretrain(commands: Parsers) -> None:
    parser = command(commands, "pretrain", "make the embedded base model again", "clarify-rl pretrain --out runs/base")
    parser.add_argument(
        "items",
        nargs="*",
        default=[],
        metavar="CONFIG | key=value",
        help="a configuration (default: pretrain), or a setting to change, e.g. pretrain.steps=100",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a new folder for the model")


def _add_config(commands: Parsers) -> None:
    parser = commands.add_parser("config", help="show configurations", description="Show configurations.")
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    takes_config(command(inner, "show", "print a configuration with every default", "clarify-rl config show demo"))
    command(inner, "list", "name the configurations that ship", "clarify-rl config list")


def _add_doctor(commands: Parsers) -> None:
    command(commands, "doctor", "say what this machine can do, and how to make it safer", "clarify-rl doctor")
