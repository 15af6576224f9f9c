"use strict";

// What each column shows, and which paired difference belongs to it; `good` is the direction that is better.
const COLUMNS = [
  { title: "solved", group: "all", metric: "solved", good: 1 },
  { title: "solved clear", group: "clear", metric: "solved", good: 1 },
  { title: "solved unclear", group: "unclear", metric: "solved", good: 1 },
  { title: "tests passed", group: "all", metric: "pass_rate", good: 1 },
  { title: "ask-recall", group: "unclear", metric: "asked", good: 1, help: "first reply asks, on unclear variants" },
  { title: "false-ask", group: "clear", metric: "asked", good: -1, help: "first reply asks, on clear variants" },
  { title: "questions each", group: "all", metric: "questions", plain: true, help: "questions asked per episode" },
  { title: "facts revealed", group: "unclear", metric: "revealed", help: "share of all hidden facts" },
  { title: "questions that hit", group: "unclear", metric: "precision", help: "share of questions that a hidden fact was told for" },
  { title: "not understood", group: "all", metric: "unclear", help: "share of questions that the user did not understand" },
  { title: "malformed", group: "all", metric: "malformed", help: "some reply is neither a question nor fenced code" },
  {
    title: "failed",
    group: "all",
    metric: "failed",
    help: "episodes that could not be measured: in no share of solved",
  },
];

const findGroup = (summary, name) => summary.groups.find((group) => group.group === name);
const summariesOf = (data, suite) => data.comparison.summaries.filter((summary) => summary.suite === suite);
const differencesOf = (data, suite) =>
  data.comparison.differences
    .map((difference, i) => ({ ...difference, sentence: data.sentences[i] }))
    .filter((difference) => difference.suite === suite && difference.pairs > 0);

function renderResults(data, section) {
  const body = el("div");
  const show = (suite) => {
    const summaries = summariesOf(data, suite);
    const [all, clear, unclear] = ["all", "clear", "unclear"].map((name) => findGroup(summaries[0], name).variants);
    body.replaceChildren(
      el("p", { class: "note" }, `${plural(all, "variant")}: ${clear} clear, ${unclear} unclear. Shares in percent.`),
      el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Checkpoints" }, checkpointTable(data, summaries)),
      differencesView(data, suite) ?? "",
      askingView(data, suite) ?? "",
      paretoView(data, suite) ?? "",
      calibrationView(data, summaries) ?? "",
    );
    renderKinds(data, document.getElementById("kinds"), suite);
  };
  section.replaceChildren(el("h2", {}, "Results"), tabs(data.comparison.suites, show), body);
  show(data.comparison.suites[0]);
}

function tabs(names, show) {
  const buttons = names.map((name) =>
    el("button", { type: "button", "aria-pressed": "false", onclick: () => select(name) }, name),
  );
  const select = (chosen) => {
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(names[i] === chosen)));
    show(chosen);
  };
  buttons[0].setAttribute("aria-pressed", "true");
  return el("div", { class: "tabs", role: "group", "aria-label": "Suite" }, buttons);
}

function checkpointTable(data, summaries) {
  const first = summaries[0].checkpoint;
  const head = COLUMNS.map((column) => el("th", { scope: "col", title: column.help ?? null }, column.title));
  const rows = summaries.map((summary) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, dot(data, summary.checkpoint), summary.checkpoint),
      COLUMNS.map((column) => el("td", {}, measureCell(data, summary, column, first))),
    ),
  );
  const small = summaries.length > 1 ? `Small: difference from ${first} in points, with its interval.` : "";
  return el(
    "table",
    { class: "checkpoints" },
    el("caption", {}, small),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "checkpoint"), head)),
    el("tbody", {}, rows),
  );
}

function measureCell(data, summary, column, first) {
  const value = findGroup(summary, column.group)[column.metric];
  if (typeof value === "number") return el("b", {}, String(value));
  const shown = column.plain ? (value.value === null ? DASH : value.value.toFixed(2)) : percent(value);
  const difference = data.comparison.differences.find(
    (d) =>
      d.suite === summary.suite &&
      d.before === first &&
      d.after === summary.checkpoint &&
      d.metric === column.metric &&
      d.group === column.group,
  );
  return [el("b", { title: `n = ${value.n}` }, shown), difference ? deltaNote(difference, column.good) : null];
}

function deltaNote(difference, good) {
  if (difference.points === null) return null;
  const interval = difference.low === null ? "" : ` [${difference.low.toFixed(1)}, ${difference.high.toFixed(1)}]`;
  return el("small", { class: verdictClass(difference, good) }, el("span", {}, signed(difference.points)), interval);
}

function verdictClass(difference, good) {
  if (difference.low === null || (difference.low <= 0 && difference.high >= 0)) return "even";
  return difference.points * good > 0 ? "better" : "worse";
}

function differencesView(data, suite) {
  const differences = differencesOf(data, suite);
  if (!differences.length) return null;
  const reach = Math.max(...differences.flatMap((d) => [d.low ?? d.points, d.high ?? d.points]).map(Math.abs), 1);
  const pairs = [...new Set(differences.map((d) => `${d.after}\n${d.before}`))];
  return el(
    "div",
    { class: "pairs" },
    el("h3", {}, "Paired differences, variant by variant"),
    pairs.map((pair) => pairView(data, pair.split("\n"), differences, reach)),
  );
}

function pairView(data, [after, before], differences, reach) {
  const rows = differences.filter((d) => d.after === after && d.before === before);
  return el(
    "details",
    { open: rows[0].before === data.comparison.checkpoints[0] && after === data.comparison.checkpoints.at(-1) },
    el("summary", {}, rows[0].sentence),
    el(
      "div",
      { class: "forest" },
      rows.map((difference) => forestRow(data, difference, reach)),
    ),
  );
}

function forestRow(data, difference, reach) {
  const column = COLUMNS.find((c) => c.metric === difference.metric && c.group === difference.group);
  const title = column ? column.title : `${difference.metric.replace("pass_rate", "tests passed")} ${difference.group}`;
  const at = (points) => `${50 + (50 * points) / reach}%`;
  const low = difference.low ?? difference.points;
  const high = difference.high ?? difference.points;
  const style = { left: at(low), width: `${(50 * (high - low)) / reach}%` };
  return el(
    "div",
    { class: `row ${verdictClass(difference, column?.good ?? 1)}`, title: difference.sentence },
    el("span", { class: "what" }, title),
    el(
      "span",
      { class: "track" },
      el("i", { class: "zero" }),
      el("i", { class: "bar", style }),
      el("i", { class: "point", style: { left: at(difference.points) } }),
    ),
    el("span", { class: "number" }, signed(difference.points)),
    el("span", { class: "fine" }, evidenceText(difference)),
  );
}

function evidenceText(difference) {
  const { p, holm, mcnemar } = difference;
  const parts = [
    difference.low === null ? "no interval" : `${difference.low.toFixed(1)} to ${difference.high.toFixed(1)}`,
  ];
  if (p !== null) parts.push(chance("p", p));
  if (holm !== null && holm !== p) parts.push(chance("Holm", holm));
  if (mcnemar) parts.push(`+${mcnemar.won} −${mcnemar.lost}`);
  return `${parts.join(" · ")} · n ${difference.pairs}`;
}

const chance = (name, p) => (p < 0.0001 ? `${name} < 0.0001` : `${name} ${p.toFixed(p < 0.1 ? 4 : 2)}`);

/** What asking was worth to each checkpoint, and which defects its questions were about. */
function askingView(data, suite) {
  const worth = data.comparison.asking.flatMap((d, i) => (d.suite === suite && d.pairs ? [data.worth[i]] : []));
  const found = summariesOf(data, suite).flatMap((summary) => {
    const shares = findGroup(summary, "unclear").revealed_by;
    if (!shares.length) return [];
    const said = shares.map(({ name, share }) => `${percent(share)}% of ${share.n} that are ${name}`).join(", ");
    const f1 = findGroup(summary, "unclear").ask_f1;
    return [`${summary.checkpoint} asks for the hidden facts: ${said} (Ask-F1 ${(100 * f1).toFixed(1)})`];
  });
  const tries = summariesOf(data, suite).flatMap((summary) => {
    const { solved, pass_at } = findGroup(summary, "unclear");
    const more = pass_at.map(({ name, share }) => `${percent(share)}% in ${name}`);
    return more.length ? [`${summary.checkpoint} solves ${percent(solved)}% of the unclear in one try, ${more.join(", ")} (pass@k)`] : [];
  });
  if (!worth.length && !found.length && !tries.length) return null;
  const lines = [...worth, ...found, ...tries].map((line) => el("li", {}, line));
  return el("div", {}, el("h3", {}, "What was asked for, and what it was worth"), el("ul", { class: "asking" }, lines));
}

function renderKinds(data, section, suite) {
  const summaries = summariesOf(data, suite);
  const named = [...new Set(summaries.flatMap((summary) => summary.groups.map((group) => group.group)))];
  const names = named.filter((name) => !["all", "unclear"].includes(name));
  const axis = el("div", { class: "row axis" }, el("span"), ...["solved", "asked"].map(axisView));
  const rows = names.map((name) => kindRow(data, summaries, name));
  section.replaceChildren(el("h2", {}, "By kind of variant"), legend(data), el("div", { class: "dots" }, axis, rows));
}

const axisView = (title) =>
  el(
    "span",
    { class: "ticks" },
    el("b", {}, title),
    [0, 25, 50, 75, 100].map((tick) => el("i", { style: { left: `${tick}%` } }, tick === 100 ? "100%" : String(tick))),
  );

function kindRow(data, summaries, name) {
  const groups = summaries.map((summary) => ({ checkpoint: summary.checkpoint, group: findGroup(summary, name) }));
  const present = groups.filter(({ group }) => group);
  const n = Math.max(...present.map(({ group }) => group.episodes));
  const tracks = ["solved", "asked"].map((metric) => dotTrack(data, present, metric));
  return el("div", { class: "row" }, el("span", { class: "what" }, name, el("small", {}, ` ${n}`)), tracks);
}

function dotTrack(data, groups, metric) {
  const measured = groups.filter(({ group }) => group[metric].value !== null);
  const values = measured.map(({ group }) => 100 * group[metric].value);
  const low = Math.min(...values);
  const line = { left: `${low}%`, width: `${Math.max(...values) - low}%` };
  const reaches = measured
    .filter(({ group }) => group[metric].low !== null)
    .map(({ checkpoint, group }) => {
      const { low, high } = group[metric];
      const style = { left: `${100 * low}%`, width: `${100 * (high - low)}%`, background: colour(data, checkpoint) };
      return el("i", { class: "reach", style });
    });
  const points = measured.map(({ checkpoint, group }) =>
    el("i", {
      class: "point",
      style: { left: `${100 * group[metric].value}%`, background: colour(data, checkpoint) },
      title: `${checkpoint}: ${metric} ${percent(group[metric])}% of ${group[metric].n}${reachText(group[metric])}`,
    }),
  );
  return el(
    "span",
    { class: "track", "data-metric": metric },
    values.length ? el("i", { class: "span", style: line }) : null,
    reaches,
    points,
  );
}

const reachText = ({ low, high }) =>
  low === null ? "" : `, 95% interval ${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;

// Solved against questions: one point a checkpoint, and one for each price or circumstance of the same suite.
const PLOT = { width: 460, height: 280, left: 44, right: 16, top: 52, bottom: 34 };

function paretoView(data, suite) {
  const own = suite.split("@")[0];
  const points = data.comparison.summaries
    .filter((summary) => summary.suite.split("@")[0] === own)
    .map((summary) => ({ summary, all: findGroup(summary, "all") }))
    .filter(({ all }) => all.questions.value !== null && all.solved.value !== null)
    .map(({ summary, all }) => ({ summary, x: all.questions.value, y: 100 * all.solved.value }));
  if (points.length < 2) return null;
  const most = Math.max(...points.map(({ x }) => x), 0.1);
  const at = {
    x: (x) => PLOT.left + ((PLOT.width - PLOT.left - PLOT.right) * x) / most,
    y: (y) => PLOT.height - PLOT.bottom - ((PLOT.height - PLOT.top - PLOT.bottom) * y) / 100,
  };
  const title = "Solved, in percent, against questions each";
  return el(
    "figure",
    { class: "pareto" },
    el("h3", {}, title),
    svg(
      "svg",
      { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": title },
      [0, 25, 50, 75, 100].map((tick) => [
        svg("line", { class: "grid", x1: PLOT.left, x2: PLOT.width - PLOT.right, y1: at.y(tick), y2: at.y(tick) }),
        svg("text", { x: PLOT.left - 8, y: at.y(tick) + 3, "text-anchor": "end" }, String(tick)),
      ]),
      [0, most / 2, most].map((tick) =>
        svg("text", { x: at.x(tick), y: PLOT.height - 14, "text-anchor": "middle" }, tick.toFixed(2)),
      ),
      placed(points.map(({ summary, x, y }) => ({ summary, x: at.x(x), y: at.y(y), value: `${x.toFixed(2)}, ${y.toFixed(1)}` }))).map(
        (point) => paretoPoint(data, point),
      ),
    ),
  );
}

// How sure a checkpoint was of its code against how often it was right, in bins of equally many episodes.
function calibrationView(data, summaries) {
  const known = summaries.filter((summary) => summary.calibration);
  if (!known.length) return null;
  const at = {
    x: (share) => PLOT.left + (PLOT.width - PLOT.left - PLOT.right) * share,
    y: (share) => PLOT.height - PLOT.bottom - (PLOT.height - PLOT.top - PLOT.bottom) * share,
  };
  const title = "Solved, against how sure the checkpoint was of its code, in percent";
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  return el(
    "figure",
    { class: "pareto calibration" },
    el("h3", {}, title),
    svg(
      "svg",
      { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": title },
      ticks.map((tick) => [
        svg("line", { class: "grid", x1: PLOT.left, x2: PLOT.width - PLOT.right, y1: at.y(tick), y2: at.y(tick) }),
        svg("text", { x: PLOT.left - 8, y: at.y(tick) + 3, "text-anchor": "end" }, String(100 * tick)),
        svg("text", { x: at.x(tick), y: PLOT.height - 14, "text-anchor": "middle" }, String(100 * tick)),
      ]),
      svg("line", { class: "grid", x1: at.x(0), y1: at.y(0), x2: at.x(1), y2: at.y(1) }),
      known.map(({ checkpoint, calibration }) => {
        const points = calibration.bins.map(({ confidence, solved }) => `${at.x(confidence)},${at.y(solved)}`);
        const style = { stroke: colour(data, checkpoint), fill: colour(data, checkpoint) };
        return [
          svg("polyline", { class: "series", points: points.join(" "), style: { stroke: style.stroke, fill: "none" } }),
          calibration.bins.map(({ confidence, solved, n }) =>
            svg(
              "circle",
              { cx: at.x(confidence), cy: at.y(solved), r: 4, style },
              svg("title", {}, `${checkpoint}: sure by ${(100 * confidence).toFixed(1)}%, solved ${(100 * solved).toFixed(1)}% of ${n}`),
            ),
          ),
        ];
      }),
    ),
    el(
      "ul",
      { class: "asking" },
      known.map(({ checkpoint, calibration: { error, ranking } }) => {
        const surer = ranking === null ? "" : `, surer of what passes in ${(100 * ranking).toFixed(1)}% of the pairs`;
        return el("li", {}, dot(data, checkpoint), `${checkpoint}: off by ${(100 * error).toFixed(1)} points${surer}`);
      }),
    ),
  );
}

/** Points with a height for each label, moved up where another label is in its way. */
function placed(points) {
  const taken = [];
  return points
    .sort((a, b) => b.y - a.y)
    .map((point) => {
      let height = point.y - 7;
      while (taken.some((other) => Math.abs(other.x - point.x) < 110 && Math.abs(other.height - height) < 11)) height -= 11;
      taken.push({ x: point.x, height });
      return { ...point, height };
    });
}

function paretoPoint(data, { summary, x, y, height, value }) {
  const [, circumstance] = summary.suite.split("@");
  const name = circumstance ? `${summary.checkpoint} @${circumstance}` : summary.checkpoint;
  return svg(
    "g",
    {},
    svg("circle", { cx: x, cy: y, r: 5, style: { fill: colour(data, summary.checkpoint) } }, svg("title", {}, `${name}: ${value}`)),
    svg("text", { x: x + (x > PLOT.width / 2 ? -9 : 9), y: height, "text-anchor": x > PLOT.width / 2 ? "end" : "start" }, name),
  );
}
