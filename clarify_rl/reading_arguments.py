"""The arguments of the commands that read what is there: compare, rescore, grade, replay, show, convert, publish."""

from __future__ import annotations

from clarify_rl.command_line import Parsers, command, takes_overrides


def add_reading(commands: Parsers) -> None:
    for add in (_add_compare, _add_rescore, _add_grade, _add_replay, _add_show, _add_convert, _add_publish):
        add(commands)


def _add_compare(commands: Parsers) -> None:
    parser = command(commands, "compare", "compare what runs evaluated", "clarify-rl compare runs/demo")
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
    parser = command(
        commands,
        "rescore",
        "say what other rewards or weights would have paid for the episodes of a run",
        "clarify-rl rescore runs/demo 'rewards=[{use: solved}, {use: ask_f1, weight: 0.5}]'",
    )
    parser.add_argument("folder", metavar="RUN_FOLDER")
    parser.add_argument("--out", metavar="FILE.json", help="write the numbers as JSON too")
    parser.add_argument("overrides", nargs="*", metavar="rewards=[...]", help="the rewards (default: the run's own)")


def _add_grade(commands: Parsers) -> None:
    parser = command(
        commands,
        "grade",
        "have a language model read a run's first replies too, and say how far it and our rules agree",
        "clarify-rl grade runs/demo --model openai:http://127.0.0.1:8000/v1#MODEL --suite new_instances",
    )
    parser.add_argument("folder", metavar="RUN_FOLDER")
    parser.add_argument("--model", required=True, metavar="SPEC", help="a model here, or openai:URL#MODEL on a server")
    parser.add_argument("--checkpoint", default="", metavar="NAME", help="default: all")
    parser.add_argument("--suite", default="", metavar="NAME", help="default: all")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N replies of each only")
    parser.add_argument("--estimate", action="store_true", help="say how many tokens it would take, and ask nobody")
    takes_overrides(parser, "eval.server.parallel=32")


def _add_replay(commands: Parsers) -> None:
    parser = command(
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
    parser = command(
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


def _add_convert(commands: Parsers) -> None:
    parser = command(
        commands,
        "convert",
        "what a run evaluated, for other tools: Inspect's logs, a data set, or figures",
        "clarify-rl convert runs/demo --to dataset --out episodes",
    )
    parser.add_argument("folder", metavar="RUN_FOLDER")
    parser.add_argument(
        "--to",
        required=True,
        choices=("inspect", "dataset", "figures"),
        help="inspect: logs for `inspect view`; dataset: Parquet for datasets or pandas; figures: by matplotlib",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a folder that holds nothing yet")
    parser.add_argument("--format", default="png", choices=("png", "pdf", "svg"), help="of figures (default: png)")


def _add_publish(commands: Parsers) -> None:
    parser = command(
        commands,
        "publish",
        "a trained checkpoint with a model card and its numbers, in a folder or on the hub",
        "clarify-rl publish runs/demo --out published",
    )
    parser.add_argument("folder", metavar="RUN_FOLDER")
    parser.add_argument("--checkpoint", default="rl", metavar="NAME", help="sft or rl (default: rl)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="a folder that holds nothing yet")
    parser.add_argument(
        "--with-dialogues", action="store_true", help="the report and every episode too, with the problems they quote"
    )
    parser.add_argument("--push", metavar="USER/NAME", help="put it on the hub too, private at first")
