"""A comparison as pictures for a paper or a talk, drawn by matplotlib: PNG, PDF or SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clarify_rl.errors import ConfigError
from clarify_rl.evaluation.compare import Comparison
from clarify_rl.evaluation.metrics import Mean, Summary

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes

INSTALL = 'pip install "clarify-rl[figures]"'
_GROUPS = ("all", "clear", "unclear")


def write_figures(comparison: Comparison, out: Path, *, image: str = "png") -> list[Path]:
    """For each suite: solved by group, asking, solved against questions, and calibration where it is known.

    ConfigError where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(f"Figures need matplotlib: {INSTALL}") from error
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for suite in comparison.suites:
        summaries = [summary for summary in comparison.summaries if summary.suite == suite]
        for name, draw in _DRAWINGS.items():
            figure = Figure(figsize=(5.2, 3.4), layout="constrained")
            if draw(figure.subplots(), summaries):
                paths.append(out / f"{suite.replace('@', '-')}-{name}.{image}")
                figure.savefig(paths[-1], dpi=200)
    return paths


Draw = Callable[["Axes", list[Summary]], bool]  # whether there was anything to draw


def _solved(axes: Axes, summaries: list[Summary]) -> bool:
    _bars(axes, summaries, {name: (name, "solved") for name in _GROUPS})
    axes.set_ylabel("solved, %")
    return True


def _asking(axes: Axes, summaries: list[Summary]) -> bool:
    _bars(axes, summaries, {"asks if unclear": ("unclear", "asked"), "asks if clear": ("clear", "asked")})
    axes.set_ylabel("first reply asks, %")
    return True


def _bars(axes: Axes, summaries: list[Summary], shown: Mapping[str, tuple[str, str]]) -> None:
    """A group of bars for each thing shown, a bar for each checkpoint, with its 95% interval."""
    width = 0.8 / len(summaries)
    for place, summary in enumerate(summaries):
        means = [_mean(summary, group, metric) for group, metric in shown.values()]
        at = [i + place * width - 0.4 + width / 2 for i in range(len(shown))]
        heights = [100 * (mean.value or 0.0) for mean in means]
        axes.bar(at, heights, width * 0.92, yerr=_reach(means), capsize=2, label=summary.checkpoint)
    axes.set_xticks(range(len(shown)), list(shown))
    axes.set_ylim(0, 100)
    axes.legend(frameon=False)


def _mean(summary: Summary, group: str, metric: str) -> Mean:
    found = summary.group(group)
    mean = getattr(found, metric) if found else Mean(None, 0)
    assert isinstance(mean, Mean)
    return mean


def _reach(means: list[Mean]) -> list[list[float]]:
    """How far the intervals go down and up, in points; 0 where there is none."""
    reach: list[list[float]] = [[], []]
    for mean in means:
        known = mean.value is not None and mean.low is not None and mean.high is not None
        reach[0].append(100 * max(0.0, mean.value - mean.low) if known else 0.0)  # type: ignore[operator] # known
        reach[1].append(100 * max(0.0, mean.high - mean.value) if known else 0.0)  # type: ignore[operator] # known
    return reach


def _questions(axes: Axes, summaries: list[Summary]) -> bool:
    for summary in summaries:
        solved, questions = _mean(summary, "all", "solved"), _mean(summary, "all", "questions")
        if solved.value is not None and questions.value is not None:
            axes.plot(questions.value, 100 * solved.value, "o", label=summary.checkpoint)
    axes.set(xlabel="questions each", ylabel="solved, %", ylim=(0, 100))
    axes.set_xlim(left=-0.05)
    axes.legend(frameon=False)
    return len(summaries) > 1


def _calibration(axes: Axes, summaries: list[Summary]) -> bool:
    known = [summary for summary in summaries if summary.calibration]
    axes.plot([0, 100], [0, 100], color="0.8", linewidth=1)
    for summary in known:
        assert summary.calibration is not None
        points = [(100 * each.confidence, 100 * each.solved) for each in summary.calibration.bins]
        axes.plot(*zip(*points, strict=True), "o-", label=summary.checkpoint)
    axes.set(xlabel="how sure of its code, %", ylabel="solved, %", xlim=(0, 100), ylim=(0, 100))
    if known:
        axes.legend(frameon=False)
    return bool(known)


_DRAWINGS: Mapping[str, Draw] = {
    "solved": _solved,
    "asking": _asking,
    "questions": _questions,
    "calibration": _calibration,
}
