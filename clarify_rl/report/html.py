"""A comparison with all its transcripts as one HTML file that needs no network: style, script and data are inside.

The data is gzipped JSON in base64, whose alphabet cannot close a script element, whatever a transcript says.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from clarify_rl.evaluation.compare import Comparison
from clarify_rl.evaluation.grades import Grades
from clarify_rl.report.payload import Json, payload
from clarify_rl.report.sentences import against_the_first, asking_sentence, evidence, headline
from clarify_rl.types import Results

_SCRIPTS = ("dom.js", "results.js", "curves.js", "episode.js", "transcripts.js", "main.js")


def write_report(
    path: Path,
    comparison: Comparison,
    results: Sequence[Results],
    curves: Sequence[Mapping[str, float | int | str]],
    run_info: Mapping[str, str],
    grades: Grades | None = None,
) -> None:
    """Writes the page: comparison, training curves and every transcript, to be opened straight from the disk."""
    data = payload(comparison, results, curves, run_info, grades or {})
    _write(path, headline(comparison), _lede(comparison), packed(data))


def write_transcripts(
    path: Path,
    title: str,
    shown: Comparison,
    results: Sequence[Results],
    curves: Sequence[Mapping[str, float | int | str]],
    run_info: Mapping[str, str],
) -> None:
    """The same page for dialogues that are not compared: `shown` names what stands for checkpoints and suites."""
    _write(path, title, "", packed(payload(shown, results, curves, run_info, {})))


def _write(path: Path, title: str, lede: str, data: str) -> None:
    parts = {
        "headline": escape(title),
        "lede": escape(lede),
        "style": _page_file("report.css"),
        "script": "\n".join(map(_page_file, _SCRIPTS)),
        "data": data,
    }
    # One pass, so that a part which happens to contain a placeholder is not filled in a second time.
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _page_file("template.html"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8", errors="xmlcharrefreplace", newline="\n")


def packed(data: Json) -> str:
    """The data as text without quotes or angle brackets; the same data gives the same text."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return b64encode(gzip.compress(text.encode("ascii"), mtime=0)).decode("ascii")


def _lede(comparison: Comparison) -> str:
    """What stands under the headline: its evidence, and the first checkpoint, and how the last one asks."""
    suite, pair = comparison.suites[0], comparison.last_two
    difference = comparison.difference(*pair, suite, "solved") if pair else None
    summary = comparison.summary(comparison.checkpoints[-1], suite) or comparison.summaries[-1]
    said = [evidence(difference) if difference else "", against_the_first(comparison), asking_sentence(summary)]
    return " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in said if sentence)


def _page_file(name: str) -> str:
    return (files("clarify_rl.report") / "page" / name).read_text(encoding="utf-8")
