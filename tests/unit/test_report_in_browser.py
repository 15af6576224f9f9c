"""The report in a real browser: three widths, filters, links to one dialogue, keys, and no serious fault by axe."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clarify_rl.evaluation.compare import compare
from clarify_rl.evaluation.grades import Grade
from clarify_rl.report.html import write_report
from clarify_rl.types import Results
from tests.dialogues import ASC, ASK, CLEAR, DESC, UNCLEAR, play

pytestmark = pytest.mark.browser
playwright = pytest.importorskip("playwright.sync_api", reason="make browser installs playwright")
CHROMIUM = shutil.which("chromium")
AXE = next(iter(Path(__file__).parents[2].glob(".venv/axe/package/axe.min.js")), None)
if CHROMIUM is None:
    pytest.skip("no chromium here: apt-get install chromium", allow_module_level=True)

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = ((1400, 900), (900, 900), (390, 844))
METRICS: list[dict[str, float | int | str]] = [
    {"stage": "rl", "step": step, "reward/total": 0.1 * step, "time/step_s": 2.0} for step in range(1, 6)
]

Page = Any  # Any: playwright is installed for these tests alone


@pytest.fixture(scope="module")
def results() -> list[Results]:
    """sft guesses wrong; rl asks first."""
    guesses = play((UNCLEAR, [ASC]), (CLEAR, [DESC]))
    asks = play((UNCLEAR, [f"{ASK} What is the weather like?", DESC]), (CLEAR, [DESC]))
    return [Results("sft", "tiny", tuple(guesses)), Results("rl", "tiny", tuple(asks))]


@pytest.fixture(scope="module")
def address(results: list[Results], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, compare(results), results, METRICS, {"command": "clarify-rl run tiny", "seed": "0"})
    return path.as_uri()


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of two episodes of each variant, whose probabilities are known and whose replies a judge has read."""
    first, second = (play((UNCLEAR, [reply]), (CLEAR, [DESC])) for reply in (ASC, DESC))
    probable = [
        replace(episode, id=f"{episode.id}#{number}", logprobs=(-0.1 * number,) * len(episode.completion_ids))
        for number, played in enumerate((first, second), 1)
        for episode in played
    ]
    many = [Results("rl", "tiny", tuple(probable))]
    grades = {("rl", "tiny", probable[0].id): Grade(True, 3), ("rl", "tiny", probable[1].id): Grade(False, 1)}
    path = tmp_path_factory.mktemp("sampled") / "report.html"
    write_report(path, compare(many), many, METRICS, {"command": "clarify-rl run tiny"}, grades)
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:  # Any: playwright's
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Page]:  # Any: playwright's
    context = browser.new_context(viewport={"width": 1400, "height": 900}, bypass_csp=True, accept_downloads=True)
    yield context.new_page()
    context.close()


def opened(page: Page, address: str) -> list[str]:
    """Opens an address; the list fills with what goes wrong on the page."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector(".item")
    return wrong


def choose(page: Page, field: str, **option: str) -> None:
    select(page, field).select_option(**option)


def select(page: Page, field: str) -> Any:  # Any: playwright's
    return page.locator(f"label:has-text('{field}') select").first


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_nothing_fails_and_nothing_sticks_out_at_any_width(page: Page, address: str, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    wrong = opened(page, address)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.inner_text("h1") == "rl solves 50.0 points more than sft on tiny, which may be chance"
    assert wrong == []


def test_a_filter_shows_what_one_checkpoint_alone_solves_and_its_dialogue_is_that_of_the_run(
    page: Page, address: str, results: list[Results]
) -> None:
    opened(page, address)
    choose(page, "Differs", label="rl solved, sft not")
    assert page.inner_text(".count") == "1 episode of 4"
    page.click(".item")
    episode = results[1].episodes[0]
    shown = page.inner_text(".detail")
    for turn in episode.turns:
        assert (turn.reply.code or turn.reply.text).strip() in shown
        assert turn.answer is None or turn.answer.text in shown
    assert "Tests: 3 of 3 passed" in shown
    assert "order" in shown and "revealed" in shown


def test_the_address_leads_back_to_the_filter_and_the_dialogue(page: Page, address: str) -> None:
    opened(page, address)
    choose(page, "Kind", value="incomplete")
    choose(page, "User heard", value="revealed")
    page.click(".item")
    link, shown = page.url, page.inner_text(".detail")
    assert "episode=" in link and "kind=incomplete" in link and "heard=revealed" in link
    opened(page, link)
    assert select(page, "Kind").input_value() == "incomplete"
    assert select(page, "User heard").input_value() == "revealed"
    assert page.inner_text(".detail") == shown
    page.reload()
    page.wait_for_selector(".item")
    assert page.inner_text(".detail") == shown


def test_two_checkpoints_stand_beside_each_other_with_the_difference_of_their_programs(
    page: Page, address: str
) -> None:
    opened(page, address)
    choose(page, "Kind", value="incomplete")
    choose(page, "Beside it", value="sft")
    page.get_by_text("Difference of the two programs").click()
    changes = page.inner_text(".changes").splitlines()
    assert "-     return sorted(xs)" in changes
    assert "+     return sorted(xs, reverse=True)" in changes
    assert "  def f(xs):" in changes


def test_keys_walk_through_the_list_and_enter_opens(page: Page, address: str) -> None:
    opened(page, address)
    first = page.inner_text(".detail h3")
    page.keyboard.press("j")
    second = page.inner_text(".detail h3")
    assert second != first
    page.focus(".scroller")
    page.keyboard.press("ArrowUp")
    assert page.inner_text(".detail h3") == first
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.classList.contains('detail')")


def test_what_is_filtered_is_saved_as_a_line_an_episode(page: Page, address: str) -> None:
    opened(page, address)
    choose(page, "Outcome", value="solved")
    with page.expect_download() as download:
        page.get_by_text("Save these").click()
    lines = Path(download.value.path()).read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["checkpoint"], row["solved"]) for row in rows] == [("rl", True), ("rl", True)]


def test_a_note_is_kept_found_and_saved(page: Page, address: str) -> None:
    opened(page, address)
    choose(page, "Outcome", value="solved")
    note = page.get_by_label("Your note")
    note.fill("asks about the order, as it should")
    page.reload()
    page.wait_for_selector(".item")
    choose(page, "Notes", value="yes")
    assert page.inner_text(".count") == "1 episode of 4"
    assert page.get_by_label("Your note").input_value() == "asks about the order, as it should"
    with page.expect_download() as download:
        page.get_by_text("Save these").click()
    (row,) = map(json.loads, Path(download.value.path()).read_text().splitlines())
    assert row["note"] == "asks about the order, as it should"
    page.get_by_label("Your note").fill("")
    page.reload()
    page.wait_for_selector(".count")
    assert page.inner_text(".count") == "0 episodes of 4"


def test_a_link_and_a_note_belong_to_one_suite_where_the_same_variant_is_played_in_two(
    page: Page, results: list[Results], tmp_path: Path
) -> None:
    asks = results[1]
    both = [asks, replace(asks, suite="tiny@silent")]
    write_report(tmp_path / "report.html", compare(both), both, METRICS, {"command": "clarify-rl run tiny"})
    opened(page, (tmp_path / "report.html").as_uri())
    choose(page, "Suite", value="tiny@silent")
    page.click(".item")
    page.get_by_label("Your note").fill("here alone")
    choose(page, "Suite", label="any")
    opened(page, page.url)
    assert "tiny@silent" in page.inner_text(".detail header")
    choose(page, "Notes", value="yes")
    assert page.inner_text(".count") == "1 episode of 4"


def test_samples_of_a_variant_are_chosen_one_by_one(page: Page, sampled: str) -> None:
    wrong = opened(page, sampled)
    choose(page, "Kind", value="incomplete")
    assert page.inner_text(".count") == "2 episodes of 4"
    page.click(".item")
    assert "Tests: 3 of 3 passed" not in page.inner_text(".detail")
    choose(page, "Sample", value="2")
    assert "Tests: 3 of 3 passed" in page.inner_text(".detail")
    assert "rl solves 50.0% of the unclear in one try, 100.0% in 2 (pass@k)" in page.inner_text(".asking >> nth=0")
    assert page.is_visible(".calibration svg circle >> nth=0")
    assert wrong == []


def test_what_a_judge_said_is_a_filter_and_stands_at_the_reply(page: Page, sampled: str) -> None:
    opened(page, sampled)
    choose(page, "Judge", value="otherwise than our rules")
    assert page.inner_text(".count") == "1 episode of 4"
    assert "judge: asks, grade 3 of 3" in page.inner_text(".detail")
    choose(page, "Judge", value="asks not")
    assert "judge: asks nothing" in page.inner_text(".detail")


def test_on_paper_bars_keep_their_colours_and_controls_are_gone(page: Page, address: str) -> None:
    opened(page, address)
    page.emulate_media(media="print")
    assert not page.is_visible(".filters") and not page.is_visible("nav")
    assert page.is_visible(".forest .bar >> nth=0") or page.is_visible(".forest .point >> nth=0")
    assert page.evaluate("getComputedStyle(document.querySelector('.forest .point')).printColorAdjust") == "exact"


@pytest.mark.skipif(AXE is None, reason="no axe-core here: make browser brings it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("report", ["address", "sampled"])
def test_axe_finds_no_serious_fault(
    page: Page, report: str, scheme: str, width: int, request: pytest.FixtureRequest
) -> None:
    assert AXE is not None
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    opened(page, request.getfixturevalue(report))
    page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then((report) => report.violations)")
    serious = [
        f"{fault['id']}: {fault['help']}: {node['html'][:120]} {node['failureSummary'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ]
    assert not serious, "\n".join(serious)
