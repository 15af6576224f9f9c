"""The arguments of every command: each `--help` shows one example that works when pasted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeAlias

import clarify_rl

Arguments = argparse.Namespace
Parsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


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
    _add_compare(commands)
    _add_rescore(commands)
    _add_replay(commands)
    _add_show(commands)
    _add_play(commands)
    _add_export(commands)
    _add_pretrain(commands)
    _add_config(commands)
    _add_doctor(commands)
    _add_check(commands)
    _add_data(commands)
    return parser


def _command(commands: Parsers, name: str, does: str, example: str) -> argparse.ArgumentParser:
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


def _takes_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="a shipped configuration (clarify-rl config list) or a file")
    _takes_overrides(parser)


def _takes_overrides(parser: argparse.ArgumentParser, example: str = "rl.trainer.max_steps=20") -> None:
    parser.add_argument(
        "items", nargs="*", default=[], metavar="key=value", help=f"a setting to change, e.g. {example}"
    )


def _add_run(commands: Parsers) -> None:
    parser = _command(
        commands, "run", "make data, train, evaluate and compare, in one run folder", "clarify-rl run demo"
    )
    _takes_config(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the run in this folder")
    parser.add_argument("--dry-run", action="store_true", help="check everything and say what would be done")


def _add_stages(commands: Parsers) -> None:
    does = {
        "data": "make the variants of a run",
        "sft": "train the SFT checkpoint of a run whose data is made",
        "rl": "train the RL checkpoint of a run whose SFT is done",
    }
    for name, what in does.items():
        parser = _command(commands, name, what, f"clarify-rl {name} demo")
        _takes_config(parser)
        parser.add_argument("--resume", action="store_true", help="go on with what was begun (a stage always does)")


def _add_submit(commands: Parsers) -> None:
    parser = _command(
        commands,
        "submit",
        "run as a job on a Ray cluster, with the code that is installed here",
        "clarify-rl submit demo --address http://127.0.0.1:8265",
    )
    _takes_config(parser)
    parser.add_argument(
        "--address",
        default="http://127.0.0.1:8265",
        metavar="URL",
        help="the dashboard of the cluster's head (default: %(default)s)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in this `out` on the cluster")
    parser.add_argument("--no-wait", action="store_true", help="print how to follow the job, and leave it")


def _add_eval(commands: Parsers) -> None:
    parser = _command(
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
        "--suite", help="bank, a HumanEvalComm.jsonl, or its hub name jie-jw-wu/HumanEvalComm; of a run, one more suite"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="the most prompts to take")
    parser.add_argument("--out", metavar="FOLDER", help="the run folder to make (default: runs/SUITE-NAMES)")
    parser.add_argument("--instruction", metavar="TEXT", help="what stands before each problem")
    parser.add_argument("--last-call", metavar="TEXT", help="what follows the last answer")
    parser.add_argument("--max-questions", type=int, metavar="K", help="how many turns may ask")
    parser.add_argument("--turn-tokens", type=int, metavar="N", help="the most tokens of one reply")


def _add_compare(commands: Parsers) -> None:
    parser = _command(commands, "compare", "compare what runs evaluated", "clarify-rl compare runs/demo")
    parser.add_argument("folders", nargs="+", metavar="RUN_FOLDER")
    parser.add_argument("--out", metavar="FOLDER", help="where the comparison of several runs is written")
    parser.add_argument(
        "--seeds", action="store_true", help="the runs are seeds of one recipe: differences over all of them"
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="DEMAND",
        help="exit with 1 unless it holds, such as 'solved +2 at 95%%' or 'asked clear below +2'; repeatable",
    )
    parser.add_argument("--full", action="store_true", help="every table and difference, not the summary alone")


def _add_rescore(commands: Parsers) -> None:
    parser = _command(
        commands,
        "rescore",
        "say what other rewards or weights would have paid for the episodes of a run",
        "clarify-rl rescore runs/demo 'rewards=[{use: solved}, {use: ask_f1, weight: 0.5}]'",
    )
    parser.add_argument("folder", metavar="RUN_FOLDER")
    parser.add_argument("--out", metavar="FILE.json", help="write the numbers as JSON too")
    parser.add_argument("overrides", nargs="*", metavar="rewards=[...]", help="the rewards (default: the run's own)")


def _add_replay(commands: Parsers) -> None:
    parser = _command(
        commands,
        "replay",
        "recorded dialogues of any model, without the model: HumanEvalComm's published metrics and ours, as a run",
        "clarify-rl replay recorded/*.jsonl.gz --suite HumanEvalComm.jsonl",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE.jsonl", help="recordings, plain or gzipped (docs/evaluation.md)"
    )
    parser.add_argument("--suite", default="jie-jw-wu/HumanEvalComm", help="HumanEvalComm.jsonl (default: the hub's)")
    parser.add_argument(
        "--out", metavar="FOLDER", help="the run folder to make or go on with (default: runs/replay-NAMES)"
    )
    parser.add_argument("--full", action="store_true", help="every table and difference, not the summary alone")


def _add_show(commands: Parsers) -> None:
    parser = _command(
        commands,
        "show",
        "read the dialogues of a run here",
        "clarify-rl show runs/demo --checkpoint rl --outcome unsolved --limit 2",
    )
    parser.add_argument("folder", metavar="RUN_FOLDER")
    parser.add_argument("--checkpoint", default="", metavar="NAME", help="default: the last one")
    parser.add_argument("--suite", default="", metavar="NAME", help="default: all")
    parser.add_argument(
        "--kind", default="", help="clear, ambiguous, incomplete, inconsistent, or several joined by '+'"
    )
    parser.add_argument("--outcome", default="", choices=("solved", "unsolved", "unmeasured"))
    parser.add_argument(
        "--text", default="", metavar="WORDS", help="what must stand in the prompt, a reply or an answer"
    )
    parser.add_argument("--only", action="store_true", help="those that no other checkpoint solves")
    parser.add_argument("--limit", type=int, default=3, metavar="N", help="the most dialogues to print (default: 3)")


def _add_play(commands: Parsers) -> None:
    parser = _command(commands, "play", "be the user of a model", "clarify-rl play --kind incomplete --seed 3")
    _takes_overrides(parser, "dialogue.max_questions=1")
    parser.add_argument("--model", metavar="SPEC", help="default: the newest checkpoint of the configured run")
    parser.add_argument("--config", default="demo", help="dialogue settings, families and run folder (default: demo)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--variant", metavar="ID", help="a variant of the run's data")
    which.add_argument("--kind", help="clear, ambiguous, incomplete, inconsistent, or several joined by '+'")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="chooses the problem (default: 0)")


def _add_export(commands: Parsers) -> None:
    parser = _command(
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
    parser = _command(commands, "pretrain", "make the embedded base model again", "clarify-rl pretrain --out runs/base")
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
    _takes_config(_command(inner, "show", "print a configuration with every default", "clarify-rl config show demo"))
    _command(inner, "list", "name the configurations that ship", "clarify-rl config list")


def _add_doctor(commands: Parsers) -> None:
    _command(commands, "doctor", "say what this machine can do, and how to make it safer", "clarify-rl doctor")


def _add_data(commands: Parsers) -> None:
    make = _command(
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
    _add_data_by_model(commands)
    dialogues = _command(
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
    _takes_overrides(dialogues, "seed=1")
    show = _command(
        commands, "data-show", "(data show) read variants with their proof", "clarify-rl data show unclear.jsonl"
    )
    show.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")
    show.add_argument("--number", type=int, default=5, metavar="N", help="how many (default: 5)")
    show.add_argument("--edit", metavar="NAME", help="with this kind of fact only")
    show.add_argument("--seed", type=int, default=0, metavar="N", help="others for another number")
    stats = _command(
        commands, "data-stats", "(data stats) print the mixture of a file", "clarify-rl data stats unclear.jsonl"
    )
    stats.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")


def _add_data_by_model(commands: Parsers) -> None:
    propose = _command(
        commands,
        "data-propose",
        "(data propose) have a model name what statements decide; made unclear where execution agrees",
        "clarify-rl data propose mbpp,path=mbpp.jsonl --model openai:http://127.0.0.1:8000/v1#MODEL --out told.jsonl",
    )
    propose.add_argument("sources", nargs="+", metavar="SOURCE", help="as for check source: rows,path=mine.jsonl")
    propose.add_argument("--without", action="append", default=[], metavar="SOURCE", help="an evaluation set")
    _asks_a_model(propose, "the first N problems only")
    rewrite = _command(
        commands,
        "data-rewrite",
        "(data rewrite) have a model say the statements in a person's voice; kept where its code still passes",
        "clarify-rl data rewrite unclear.jsonl --model openai:http://127.0.0.1:8000/v1#MODEL --out voiced.jsonl",
    )
    rewrite.add_argument("file", metavar="FILE.jsonl", help="what data make wrote")
    _asks_a_model(rewrite, "the first N unclear variants only")
    judge = _command(
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
    _takes_overrides(parser, "eval.server.parallel=32")


def _add_check(commands: Parsers) -> None:
    parser = commands.add_parser("check", help="try out that something holds", description="Try out that it holds.")
    inner = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_check_executor, _add_check_source, _add_check_user, _add_check_reward, _add_check_env):
        add(inner)


def _add_check_executor(commands: Parsers) -> None:
    executor = _command(
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
    source = _command(
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
    user = _command(
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
    reward = _command(
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
    env = _command(
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
