"use strict";

const STAGES = { pretrain: "Pretraining", sft: "Supervised fine-tuning", rl: "Reinforcement learning" };
const PANELS = [
  ["Loss", ["train/loss"]],
  ["Held-out loss", ["eval/loss"]],
  ["Facts revealed", ["episode/revealed"]],
  ["Reward", ["reward/total", "train/reward", "reward", "eval/reward"]],
  ["Each reward, before its weight", ["reward/*"]],
  ["Solved", ["episode/solved", "eval/solved"]],
  ["Asked", ["episode/asked_unclear", "episode/asked_clear"]],
  ["Asked, held out", ["eval/asked_unclear", "eval/asked_clear"]],
  ["Questions per episode", ["episode/questions"]],
  ["Questions not understood", ["user/unclear"]],
  ["KL from the start", ["train/kl"]],
  ["Seconds per step", ["time/step_s", "time/generate_s", "time/update_s"]],
  ["Seconds per step, the rest", ["time/env_s", "time/score_s", "time/logprobs_s", "time/sync_s", "time/wait_s"]],
  ["vLLM's logprobs against the learner's", ["vllm/logprob_difference_mean"]],
];
const BOX = { width: 300, height: 150, left: 40, right: 8, top: 10, bottom: 20 };

function renderCurves(data, section) {
  if (!data.curves.length) {
    section.replaceChildren(el("h2", {}, "Training"), el("p", { class: "note" }, "No training metrics were given."));
    return;
  }
  const stages = [...new Set(data.curves.map((series) => series.stage))];
  section.replaceChildren(el("h2", {}, "Training"), ...stages.map((stage) => stageView(data, stage)));
}

/** Whether a metric belongs to a panel: by its name, or as one of the rewards, whose names are the user's. */
function isIn(name, names) {
  const isReward = name.startsWith("reward/") && name !== "reward/total" && name !== "reward/std";
  return names.includes(name) || (isReward && names.includes("reward/*"));
}

function stageView(data, stage) {
  const series = data.curves.filter((candidate) => candidate.stage === stage);
  const alarms = data.alarms.filter((alarm) => alarm.stage === stage);
  const main = PANELS.map(([title, names]) => [title, series.filter((s) => isIn(s.name, names))]);
  const known = main.filter(([, found]) => found.length);
  const taken = new Set(known.flatMap(([, found]) => found));
  const rest = series.filter((s) => !taken.has(s)).sort((a, b) => (a.name < b.name ? -1 : 1));
  const grid = (panels) =>
    el(
      "div",
      { class: "panels" },
      panels.map(([title, found]) => panel(title, found, alarms)),
    );
  const steps = Math.max(...series.flatMap((s) => s.points.map(([step]) => step)));
  const more = rest.map((s) => [s.name, [s]]);
  return el(
    "div",
    {},
    el("h3", {}, STAGES[stage] ?? (stage || "Metrics"), el("small", {}, ` ${plural(steps, "step")}`)),
    alarms.length ? el("ul", { class: "alarms" }, alarms.map(warning)) : null,
    grid(known.length ? known : more),
    known.length && more.length
      ? el("details", {}, el("summary", {}, `${plural(more.length, "other metric")}`), grid(more))
      : null,
  );
}

const warning = (alarm) => el("li", {}, el("b", {}, `Step ${alarm.step}: `), alarm.text);

function panel(title, series, alarms) {
  const scale = scales(series);
  const readout = el("span", { class: "readout" }, lastValues(series));
  const drawing = svg("svg", { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: "img", "aria-label": title });
  const cursor = svg("line", { class: "cursor", y1: BOX.top, y2: BOX.height - BOX.bottom, visibility: "hidden" });
  const marks = alarms.filter(({ step }) => step >= scale.first && step <= scale.last).map((alarm) => mark(alarm, scale));
  drawing.append(...axes(scale), ...marks, ...series.flatMap((s, i) => lines(s, i, scale)), cursor);
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const step = scale.stepAt(((event.clientX - box.left) / box.width) * BOX.width);
    const values = series.map((s) =>
      s.points.reduce((a, b) => (Math.abs(b[0] - step) < Math.abs(a[0] - step) ? b : a)),
    );
    const x = scale.x(values[0][0]);
    fill(cursor, { x1: x, x2: x, visibility: "visible" }, []);
    readout.textContent = `step ${values[0][0]}: ${values.map(([, value]) => compact(value)).join(", ")}`;
  });
  drawing.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    readout.textContent = lastValues(series);
  });
  const names = series.map((s, i) => el("span", { class: `line-${i}` }, s.name));
  return el("figure", {}, el("figcaption", {}, el("b", {}, title), readout, el("small", {}, names)), drawing);
}

const lastValues = (series) => series.map((s) => compact(s.points.at(-1)[1])).join(", ");

function scales(series) {
  const points = series.flatMap((s) => s.points);
  const values = points.map(([, value]) => value).filter((value) => value !== null);
  let [low, high] = values.length ? [Math.min(...values), Math.max(...values)] : [0, 1];
  if (low > 0 && low < high / 2) low = 0;
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  const steps = points.map(([step]) => step);
  const [first, last] = [Math.min(...steps), Math.max(...steps)];
  const [width, height] = [BOX.width - BOX.left - BOX.right, BOX.height - BOX.top - BOX.bottom];
  const reach = last - first || 1;
  return {
    low,
    high,
    first,
    last,
    x: (step) => BOX.left + (width * (step - first)) / reach,
    y: (value) => BOX.top + height * (1 - (value - low) / (high - low)),
    stepAt: (x) => first + ((x - BOX.left) / width) * reach,
  };
}

function axes(scale) {
  const right = BOX.width - BOX.right;
  const horizontal = ticks(scale.low, scale.high).flatMap((value) => [
    svg("line", { class: "grid", x1: BOX.left, x2: right, y1: scale.y(value), y2: scale.y(value) }),
    svg("text", { x: BOX.left - 6, y: scale.y(value) + 3, "text-anchor": "end" }, compact(value)),
  ]);
  const base = BOX.height - 5;
  return [
    ...horizontal,
    svg("text", { x: BOX.left, y: base }, compact(scale.first)),
    svg("text", { x: right, y: base, "text-anchor": "end" }, compact(scale.last)),
  ];
}

// Where a warning was given; a browser shows its name when the pointer rests there.
function mark(alarm, scale) {
  const x = scale.x(alarm.step);
  const place = { class: "alarm", x1: x, x2: x, y1: BOX.top, y2: BOX.height - BOX.bottom };
  return svg("line", place, svg("title", {}, `${alarm.name}, step ${alarm.step}`));
}

function ticks(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const first = Math.ceil(low / size - 1e-9);
  return Array.from({ length: Math.floor(high / size + 1e-9) - first + 1 }, (_, i) => (first + i) * size);
}

// A long curve is drawn twice: faint as it was logged, and strong as the mean over neighbouring steps.
function lines(series, index, scale) {
  const window = Math.floor(series.points.length / 40);
  if (window < 1) return [path(series.points, `line line-${index}`, scale)];
  return [
    path(series.points, `line raw line-${index}`, scale),
    path(smooth(series.points, window), `line line-${index}`, scale),
  ];
}

function smooth(points, window) {
  return points.map(([step], i) => {
    const near = points.slice(Math.max(0, i - window), i + window + 1).filter(([, value]) => value !== null);
    return [step, near.length ? near.reduce((sum, [, value]) => sum + value, 0) / near.length : null];
  });
}

// "h0" makes a point without neighbours visible as a dot.
function path(points, style, scale) {
  let pen = "M";
  const commands = points.map(([step, value]) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const command = `${pen}${scale.x(step).toFixed(1)},${scale.y(value).toFixed(1)}${pen === "M" ? "h0" : ""}`;
    pen = "L";
    return command;
  });
  return svg("path", { class: style, d: commands.join("") });
}
