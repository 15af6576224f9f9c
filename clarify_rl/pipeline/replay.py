"""`clarify-rl replay`: recorded dialogues of any model become a run, with the published metrics beside ours.

No model is called: the recorded code is run on the hidden tests, and the recorded questions are put to a user of ours,
which says what each is about; the recorded answers stay as they were.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from tqdm.auto import tqdm

from clarify_rl.config import Config
from clarify_rl.dialogue.replies import parse_reply
from clarify_rl.errors import DataError
from clarify_rl.eval_sections import EvalConfig, SuiteConfig
from clarify_rl.evaluation.agreement import Agreement, agreement
from clarify_rl.evaluation.grades import GRADES, Grade
from clarify_rl.evaluation.published import GOOD, Published, as_executed, named_as_asked, published
from clarify_rl.evaluation.recorded import Recording, read_recordings
from clarify_rl.executor import Executor, Trial
from clarify_rl.pipeline import environments
from clarify_rl.pipeline.compare import compare_run
from clarify_rl.pipeline.evaluate import record
from clarify_rl.pipeline.graded import write_grades
from clarify_rl.pipeline.standalone import WHOLE
from clarify_rl.pipeline.terminal import console, say
from clarify_rl.records import from_record, to_record
from clarify_rl.registry import load_user
from clarify_rl.store import Run, read_rows, write_atomically
from clarify_rl.types import Answer, Episode, Execution, Stop, Turn, User, Variant

Item = TypeVar("Item")

SUITE = "humaneval_comm"
RECORDED = "recorded:"


def replay_config(paths: Sequence[Path], suite: str, out: str | None) -> Config:
    """The run that holds these recordings, one model each."""
    names = "-".join(path.name.partition(".")[0] for path in paths)
    models = {model: f"{RECORDED}{path}" for path in paths for model in _models(path)}
    return Config(
        name=f"replay-{names}"[:100],
        **({"out": out} if out else {}),
        sft=None,
        rl=None,
        eval=EvalConfig(models=models, suites={SUITE: SuiteConfig(source=suite, count=WHOLE)}),
    )


def _models(path: Path) -> list[str]:
    models = list(dict.fromkeys(recording.model for recording in read_recordings(path)))
    if not models:
        raise DataError(f"{path} holds no recording.")
    return models


def replay(config: Config, run: Run, *, full: bool = False) -> list[Published]:
    """Every recording of a run's models that is not on record yet; then the published table, ours, and the report."""
    variants = {variant.id: variant for variant in run.read_variants(SUITE)}
    user, rows = load_user(config.env.user, config.env.user_options), []
    agreements: dict[str, Agreement] = {}
    with environments.executor(config) as executor:
        for model, spec in config.eval.models.items():
            path = Path(spec.removeprefix(RECORDED))
            recordings = [each for each in read_recordings(path) if each.model == model]
            _check(path, recordings, variants)
            name = record(model, SUITE)
            if not run.is_done(name):
                run.drop_episodes(name)
                run.add_episodes(name, _episodes(recordings, variants, executor, user))
                run.mark_done(name, 0.0)
            episodes = run.read_episodes(name, variants.values())
            rows.append(published(model, recordings, _as_published(run, recordings, variants, executor)))
            agreements[model] = _judge_and_user(recordings, episodes)
            write_grades(run, model, SUITE, _recorded_grades(recordings, episodes))
    _tell(rows, agreements)
    graded = [{"model": model, **asdict(agreed)} for model, agreed in agreements.items()]
    numbers = {"published": [asdict(row) for row in rows], "agreement": graded}
    write_atomically(run.folder / "replay.json", json.dumps(numbers, indent=2) + "\n")
    compare_run(config, run, full=full)
    return rows


def _check(path: Path, recordings: Sequence[Recording], variants: Mapping[str, Variant]) -> None:
    unknown = [recording.variant for recording in recordings if recording.variant not in variants]
    if unknown:
        raise DataError(
            f"{path}: {len(unknown)} of {len(recordings)} recordings are of variants that the suite has not, e.g. "
            f"{unknown[0]!r}. The suite's are such as {next(iter(variants))!r}. Name theirs with --suite."
        )
    seen: set[str] = set()
    for recording in recordings:
        if recording.variant in seen:
            raise DataError(
                f"{path}: {recording.model} has two recordings of {recording.variant}. Mark those of a second run "
                'with "dup": true, or give it a name of its own.'
            )
        seen.add(recording.variant)


def _as_published(
    run: Run, recordings: Sequence[Recording], variants: Mapping[str, Variant], executor: Executor
) -> list[Execution]:
    """What the programs did as the authors run them: from disk, or run now."""
    path = run.folder / "published" / f"{recordings[0].model}.jsonl"
    if not path.is_file():
        problems = [variants[recording.variant].problem for recording in recordings]
        trials = [
            Trial(as_executed(recording, problem.entry_point), problem.entry_point, problem.tests)
            for recording, problem in zip(recordings, problems, strict=True)
        ]
        done = list(_watched(executor.run_all(trials), f"as published {recordings[0].model}", len(trials)))
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, "".join(json.dumps(to_record(execution)) + "\n" for execution in done))
    return [from_record(Execution, row) for row in read_rows(path)]


def _episodes(
    recordings: Sequence[Recording], variants: Mapping[str, Variant], executor: Executor, user: User
) -> Iterator[Episode]:
    """An episode for each recording, its code run as the code of any other model is."""
    trials = (_trial(recording, variants[recording.variant]) for recording in recordings if recording.code)
    executions = executor.run_all(trials)
    for recording in _watched(recordings, f"replay {recordings[0].model}", len(recordings)):
        execution = next(executions) if recording.code else None
        yield _episode(recording, variants[recording.variant], execution, user)


def _watched(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    return iter(tqdm(items, desc=what, total=total, unit="dialogue", dynamic_ncols=True))


def _trial(recording: Recording, variant: Variant) -> Trial:
    problem = variant.problem
    code = named_as_asked(recording.code or "", problem.entry_point)
    return Trial(code, problem.entry_point, problem.tests, problem.prelude)


def _episode(recording: Recording, variant: Variant, execution: Execution | None, user: User) -> Episode:
    turns: list[Turn] = []
    for place, text in enumerate(recording.replies):
        last = place == len(recording.replies) - 1
        reply = parse_reply(text, finished=recording.finished or not last)
        if last and recording.code and reply.code is None:
            reply = replace(reply, code=recording.code)
        answer = None
        if place < len(recording.answers):
            heard = user.answer(variant, reply.questions, turns, 0) if reply.questions else Answer("")
            answer = Answer(recording.answers[place], heard.heard)
        turns.append(Turn(reply, answer))
    stop = Stop.CODE if recording.code else Stop.NO_CODE
    return Episode(f"recorded/{recording.model}/{variant.id}", variant, 0, tuple(turns), stop, execution)


def _judge_and_user(recordings: Sequence[Recording], episodes: Sequence[Episode]) -> Agreement:
    """Of the graded replies that ask: whether the judge calls them good, and our user heard a fact asked for."""
    return agreement(
        (recording.grade == GOOD, bool(episode.revealed))
        for recording, episode in zip(recordings, episodes, strict=True)
        if recording.grade and episode.questions
    )


def _recorded_grades(recordings: Sequence[Recording], episodes: Sequence[Episode]) -> dict[str, Grade]:
    """What the recordings' own judge said, by episode; of replies that it took for code it said nothing."""
    return {
        episode.id: Grade(recording.grade > min(GRADES), recording.grade)
        for recording, episode in zip(recordings, episodes, strict=True)
        if recording.grade in GRADES
    }


def _tell(rows: Sequence[Published], agreements: Mapping[str, Agreement]) -> None:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in ("model", "rows", "communi-\ncation", "good\nquestions", "Pass@1", "tests\npassed"):
        table.add_column(header, justify="left" if header == "model" else "right")
    for row in rows:
        rates = (row.communication_rate, row.good_question_rate, row.pass_at_1, row.test_pass_rate)
        table.add_row(escape(row.model), str(row.rows), *("-" if rate is None else f"{rate:.2f}" for rate in rates))
    say("\n[bold]as HumanEvalComm's authors count[/bold], in percent")
    console.print(table)
    for model, found in ((model, found) for model, found in agreements.items() if found.n):
        share = "" if found.kappa is None else f", kappa {found.kappa:.2f}"
        say(
            f"[dim]{escape(model)}: of {found.n} graded replies that ask, the judge calls "
            f"{found.first} good; in {found.second} our user hears a hidden fact asked for; in {found.both} "
            f"both{share}[/dim]"
        )
