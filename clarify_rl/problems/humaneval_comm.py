"""HumanEvalComm: HumanEval's problems with statements that were made ambiguous, inconsistent or incomplete.

Most tests compare `str(result)` with a text. The others are conditions on `candidate`, and small programs that import a
helper from `$demo$`, the file of the complete statement: these run as assertions, beside the helpers of the statement.
Left out, and reported in `Loaded.skipped`: problems with a test whose input cannot be read.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from clarify_rl import syntax
from clarify_rl.errors import DataError
from clarify_rl.problems.expressions import parse_arguments
from clarify_rl.problems.hidden_facts import hidden_facts
from clarify_rl.problems.programs import preceding
from clarify_rl.registry import source
from clarify_rl.types import Assertions, Case, Defect, HiddenTests, Problem, Skipped, Tests, Variant

HUB_NAME = "jie-jw-wu/HumanEvalComm"
CATEGORIES: dict[str, tuple[Defect, ...]] = {
    "prompt1a": (Defect.AMBIGUOUS,),
    "prompt1c": (Defect.INCONSISTENT,),
    "prompt1p": (Defect.INCOMPLETE,),
    "prompt2ac": (Defect.AMBIGUOUS, Defect.INCONSISTENT),
    "prompt2ap": (Defect.AMBIGUOUS, Defect.INCOMPLETE),
    "prompt2cp": (Defect.INCOMPLETE, Defect.INCONSISTENT),
    "prompt3acp": (Defect.AMBIGUOUS, Defect.INCOMPLETE, Defect.INCONSISTENT),
}
_FIELDS = ("name", "prompt", "entry_point", "solution", "test_case")

Row = Mapping[str, object]


@dataclass(frozen=True)
class Loaded:
    """The variants that can be used, and one sentence for each problem that cannot."""

    variants: tuple[Variant, ...]
    skipped: tuple[str, ...] = ()

    @property
    def without_facts(self) -> tuple[str, ...]:
        """Ids of variants that claim a defect yet hide nothing: asking cannot help there."""
        return tuple(variant.id for variant in self.variants if not variant.is_clear and not variant.facts)

    def summary(self) -> str:
        """One line that counts everything, also what was left out."""
        kinds = Counter(variant.kind for variant in self.variants)
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        left_out = f"; {len(self.skipped)} problems skipped: {'; '.join(self.skipped)}" if self.skipped else ""
        return f"{len(self.variants)} prompts ({counts}){left_out}"


@source("humaneval_comm")
@dataclass(frozen=True)
class HumanEvalComm:
    """`path`: HumanEvalComm.jsonl (v1 or v2), or the hub's name. For evaluation only: nothing of it is trained on."""

    path: str = HUB_NAME

    def read(self) -> Iterator[Problem | Skipped]:
        """Its clear originals."""
        for number, row in enumerate(_rows(self.path), start=1):
            _check_fields(row, f"{self.path}, row {number}")
            unsupported = _unsupported_tests(row)
            yield Skipped(f"{self.path}, row {number}", unsupported) if unsupported else _problem(row)


def load_humaneval_comm(source: str, *, limit: int | None = None, seed: int = 0) -> Loaded:
    """Every problem's clear original and its variants, from a .jsonl or .jsonl.gz file or a hub data set.

    `limit` is the most prompts to keep: a sample with the kinds' shares, each variant together with its original.
    """
    variants: list[Variant] = []
    skipped: list[str] = []
    for number, row in enumerate(_rows(source), start=1):
        _check_fields(row, f"{source}, row {number}")
        unsupported = _unsupported_tests(row)
        if unsupported:
            skipped.append(f"{row['name']}: {unsupported}")
        else:
            variants.extend(_variants(row))
    if not variants:
        raise DataError(f"{source} has no usable problem. Skipped: {'; '.join(skipped) or 'none, it is empty'}.")
    return Loaded(tuple(variants if limit is None else _sample(variants, limit, seed)), tuple(skipped))


def _rows(source: str) -> list[Row]:
    path = Path(source)
    if path.is_file():
        return _file_rows(path)
    if not may_be_on_hub(source):
        raise DataError(f"No file {source}. Give the path of HumanEvalComm.jsonl, or the hub's data set: {HUB_NAME}.")
    return _hub_rows(source)


def may_be_on_hub(source: str) -> bool:
    """Whether `source` looks like the name of a data set on the hub, rather than like a path."""
    path = source.endswith((".jsonl", ".gz", ".json")) or source.startswith((".", "/", "~"))
    return source.count("/") == 1 and not path


def _file_rows(path: Path) -> list[Row]:
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}. Download it again.") from error
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            rows.extend([json.loads(line)] if line.strip() else [])
        except ValueError as error:
            raise DataError(
                f"{path}, line {number} is not JSON: {error}. Each line must be one JSON object."
            ) from error
    return rows


def _hub_rows(name: str) -> list[Row]:
    from datasets import load_dataset

    try:
        splits = load_dataset(name)
    except Exception as error:  # reason: the hub's client raises a dozen unrelated types; all mean the same to the user
        raise DataError(
            f"The hub's data set {name!r} could not be loaded ({type(error).__name__}: {error}). "
            f"Check the name and the network, or download HumanEvalComm.jsonl and give its path instead."
        ) from error
    return [dict(row) for split in splits.values() for row in split]


def _check_fields(row: object, where: str) -> None:
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is a {type(row).__name__}, not an object. Give HumanEvalComm.jsonl unchanged.")
    missing = [field for field in _FIELDS if not row.get(field)]
    if missing:
        columns = ", ".join(sorted(row))
        raise DataError(f"{where} lacks {', '.join(missing)}; it has {columns}. Give HumanEvalComm.jsonl unchanged.")


def _test_rows(row: Row) -> list[Mapping[str, object]]:
    tests = row["test_case"]
    if not isinstance(tests, Sequence) or not all(isinstance(test, Mapping) for test in tests):
        raise DataError(f"{row['name']}: test_case must be a list of objects with input, output and relation.")
    return list(tests)


def _unsupported_tests(row: Row) -> str:
    """Why this problem's tests cannot be used, or ""."""
    tests = _test_rows(row)
    bad = [error for test in tests if test.get("relation") == "==" and (error := _input_error(test))]
    return f"{len(bad)} of {len(tests)} inputs cannot be read, e.g. {bad[0]}" if bad else ""


def _input_error(test: Mapping[str, object]) -> str:
    try:
        parse_arguments(str(test["input"]))
    except ValueError as error:
        return str(error)
    return ""


def _problem(row: Row) -> Problem:
    return Problem(
        id=str(row["name"]),
        prompt=str(row["prompt"]),
        entry_point=str(row["entry_point"]),
        tests=_tests(row),
        solution=str(row["solution"]),
        source="HumanEvalComm",
        prelude=preceding(str(row["prompt"]), str(row["entry_point"])),
    )


def _tests(row: Row) -> HiddenTests:
    tests = _test_rows(row)
    if all(test["relation"] == "==" for test in tests):
        cases = tuple(Case(parse_arguments(str(test["input"])), str(test["output"]).rstrip()) for test in tests)
        return Tests(cases, compare="printed")
    return Assertions(tuple(map(_check, tests)), setup=_helpers(str(row["prompt"])))


def _check(test: Mapping[str, object]) -> str:
    relation = str(test["relation"])
    if relation == "==":
        return f"assert str(candidate({test['input']})).rstrip() == {str(test['output']).rstrip()!r}"
    if "$demo$" not in relation:
        return f"assert {relation}"
    body = [line for line in relation.splitlines() if "$demo$" not in line]
    *before, last = "\n".join(body).replace("$input$", str(test["input"])).splitlines()
    return "\n".join([*before, f"assert {last.removeprefix('print(').removesuffix(')')}"])


def _helpers(prompt: str) -> str:
    """The complete statement as code: imports and helper functions, and the function that is asked for, still empty."""
    try:
        syntax.parse(prompt)
    except SyntaxError:
        return ""
    return prompt


def _variants(row: Row) -> list[Variant]:
    """The clear original, then each variant that the row has."""
    problem = _problem(row)
    clear = Variant(f"{problem.id}/prompt", problem, problem.prompt)
    return [clear, *(_variant(problem, name, str(row[name])) for name in CATEGORIES if row.get(name))]


def _variant(problem: Problem, category: str, prompt: str) -> Variant:
    defects = CATEGORIES[category]
    only = defects[0] if len(defects) == 1 else None
    facts = hidden_facts(problem.prompt, prompt, problem.entry_point, only)
    return Variant(f"{problem.id}/{category}", problem, prompt, "+".join(defects), facts)


def _sample(variants: Sequence[Variant], limit: int, seed: int) -> list[Variant]:
    """At most `limit` of the variants, in their order: as many changed ones as fit together with their originals."""
    if limit < 2:
        raise DataError(f"limit is {limit}; it must be at least 2: an original and a variant of it.")
    changed = [variant for variant in variants if not variant.is_clear]
    for size in range(min(limit, len(changed)), 0, -1):
        chosen = _stratified(changed, size, seed)
        problems = {variant.problem.id for variant in chosen}
        if size + len(problems) <= limit:
            ids = {variant.id for variant in chosen}
            return [v for v in variants if v.id in ids or (v.is_clear and v.problem.id in problems)]
    return []


def _stratified(changed: Sequence[Variant], size: int, seed: int) -> list[Variant]:
    """`size` variants with the kinds' shares, drawn from as few problems as that allows."""
    order = sorted({variant.problem.id for variant in changed})
    Random(f"{seed}/humaneval_comm").shuffle(order)
    rank = {problem_id: place for place, problem_id in enumerate(order)}
    by_kind: dict[str, list[Variant]] = defaultdict(list)
    for variant in sorted(changed, key=lambda variant: rank[variant.problem.id]):
        by_kind[variant.kind].append(variant)
    quotas = _quotas({kind: len(members) for kind, members in by_kind.items()}, size)
    chosen: list[Variant] = []
    for kind in sorted(by_kind, key=lambda kind: (-quotas[kind], kind)):
        used = {variant.problem.id for variant in chosen}
        # A stable sort: problems that are in already come first, then the shuffled order.
        members = sorted(by_kind[kind], key=lambda variant: variant.problem.id not in used)
        chosen.extend(members[: quotas[kind]])
    return chosen


def _quotas(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Shares of `total` in proportion to `sizes`, rounded by largest remainder."""
    everything = sum(sizes.values())
    exact = {kind: total * size / everything for kind, size in sizes.items()}
    quotas = {kind: int(share) for kind, share in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: (quotas[kind] - exact[kind], kind))
    for kind in by_remainder[: total - sum(quotas.values())]:
        quotas[kind] += 1
    return quotas
