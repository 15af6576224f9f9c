"use strict";

// One variant with one episode, or two side by side: `shown` is a list of { checkpoint, episode }.
function renderVariant(data, variant, shown) {
  return el(
    "div",
    { class: `variant ${shown.length > 1 ? "two" : "one"}` },
    factsView(data, variant, shown),
    shown.length > 1 ? promptView(variant) : null,
    shown.length > 1 ? changesView(...shown.map(({ episode }) => lastCode(episode))) : null,
    el(
      "div",
      { class: "columns" },
      shown.map((one) => episodeView(data, variant, one, shown.length > 1)),
    ),
  );
}

const lastCode = (episode) => episode.turns.at(-1)?.code ?? "";

/** What the second program has otherwise than the first, line by line. */
function changesView(before, after) {
  if (!before || !after) return null;
  const lines = changes(before.trimEnd().split("\n"), after.trimEnd().split("\n"));
  const same = lines.every(([kind]) => kind === "same");
  const signs = { same: "  ", gone: "- ", came: "+ " };
  return el(
    "details",
    {},
    el("summary", {}, same ? "Both wrote the same program" : "Difference of the two programs"),
    el(
      "pre",
      { class: "listing changes" },
      lines.map(([kind, line]) => el("span", { class: kind }, `${signs[kind]}${line}\n`)),
    ),
  );
}

/** The longest common subsequence of lines, and around it what went and what came. */
function changes(before, after) {
  const common = Array.from({ length: before.length + 1 }, () => new Array(after.length + 1).fill(0));
  for (let i = before.length - 1; i >= 0; i--)
    for (let j = after.length - 1; j >= 0; j--)
      common[i][j] = before[i] === after[j] ? 1 + common[i + 1][j + 1] : Math.max(common[i + 1][j], common[i][j + 1]);
  const lines = [];
  let [i, j] = [0, 0];
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) lines.push(["same", before[i++], j++]);
    else if (j >= after.length || (i < before.length && common[i + 1][j] >= common[i][j + 1])) lines.push(["gone", before[i++]]);
    else lines.push(["came", after[j++]]);
  }
  return lines;
}

function factsView(data, variant, shown) {
  const facts = variant.facts.map((fact) => factView(data, fact, shown));
  const none =
    variant.kind === "clear" ? "Nothing is hidden: asking cannot help." : "The data does not say what is hidden.";
  return el(
    "section",
    { class: "facts" },
    el("h4", {}, "Hidden facts"),
    facts.length ? el("ul", {}, facts) : el("p", { class: "note" }, none),
    el(
      "details",
      {},
      el("summary", {}, "Complete statement and reference solution"),
      prose(variant.complete),
      variant.solution ? codeView(variant.solution) : null,
    ),
  );
}

function factView(data, fact, shown) {
  const marks = shown.map(({ checkpoint, episode }) => {
    const known = episode.revealed.includes(fact.id);
    return el(
      "span",
      { class: known ? "mark yes" : "mark" },
      dot(data, checkpoint),
      known ? "revealed" : "not revealed",
    );
  });
  const instead = fact.replaced_by ? `In the prompt: “${fact.replaced_by}”` : "Left out of the prompt";
  return el(
    "li",
    {},
    el("p", {}, el("span", { class: "tag" }, fact.defect ?? "hidden"), fact.statement),
    el("small", {}, `${fact.id} · ${instead}`),
    el("div", { class: "marks" }, marks),
  );
}

function episodeView(data, variant, { checkpoint, episode }, named) {
  const outcome = outcomeOf(episode);
  return el(
    "article",
    { class: "episode" },
    named ? el("h3", {}, dot(data, checkpoint), checkpoint, el("span", { class: `tag ${outcome}` }, outcome)) : null,
    el("div", { class: "dialogue" }, named ? null : promptView(variant), episode.turns.map((turn, i) => turnView(turn, i ? null : episode.judge)), ending(episode)),
    el(
      "div",
      { class: "side" },
      testsView(variant, episode),
      scoresView(episode),
      factsOfEpisode(episode),
      tokensView(episode),
    ),
  );
}

const promptView = (variant) => bubble("prompt", "prompt", prose(variant.prompt));

const outcomeOf = (episode) => (episode.solved === null ? "unmeasured" : episode.solved ? "solved" : "unsolved");

function bubble(who, label, ...content) {
  return el("div", { class: `bubble ${who}` }, el("small", {}, label), content);
}

function turnView(turn, judge) {
  const parsed = turn.questions.length
    ? el(
        "details",
        {},
        el("summary", {}, `${plural(turn.questions.length, "question")} found in it`),
        el(
          "ol",
          {},
          turn.questions.map((question) => el("li", {}, question)),
        ),
      )
    : null;
  const label = ["policy · ", el("span", { class: `kind ${turn.kind}` }, turn.kind.replace("_", " "))];
  if (judge) label.push(` · judge: ${judge.asks ? `asks, grade ${judge.grade} of 3` : "asks nothing"}`);
  const reply = bubble("policy", label, markdown(turn.text), parsed);
  return turn.answer ? [reply, answerView(turn.answer)] : reply;
}

function answerView(answer) {
  const heard = answer.heard.map(({ outcome, facts }) => [outcome, ...facts].join(" "));
  const volunteered = answer.volunteered.map((fact) => `volunteered ${fact}`);
  const what = [...heard, ...volunteered].join(", ") || "revealed nothing";
  return bubble("user", `user · ${what}`, prose(answer.text));
}

function ending(episode) {
  const why = episode.failure ? `: ${episode.failure}` : "";
  return el(
    "p",
    { class: episode.failure ? "ending failure" : "ending" },
    `Stopped: ${episode.stop.replace("_", " ")}${why}`,
  );
}

function testsView(variant, episode) {
  const run = episode.execution;
  if (!run) return panelOf("Tests", el("p", { class: "note" }, "No code was run."));
  const rows = variant.tests.map((test, i) => testRow(variant, test, run.per_test[i] ?? "missing", i));
  const time = `${run.wall_s.toFixed(2)} s`;
  return panelOf(
    `Tests: ${run.passed} of ${run.total} passed`,
    el("p", { class: "note" }, `${run.verdict.replace("_", " ")} · ${time} · compared as ${variant.compare}`),
    run.detail ? el("pre", { class: "detail" }, run.detail) : null,
    rows.length ? el("ol", { class: "tests" }, rows) : null,
  );
}

function testRow(variant, test, verdict) {
  return el(
    "li",
    { class: verdict },
    el("code", {}, test.call),
    el("code", { class: "expected" }, test.expected.startsWith("raises ") ? test.expected : `→ ${test.expected}`),
    el("span", { class: "verdict" }, verdict),
  );
}

function scoresView(episode) {
  if (!episode.scores.length) return null;
  const rows = episode.scores.map((score) =>
    el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        score.name,
        score.by_turn.length > 1 ? ` (by turn ${score.by_turn.map(compact).join(", ")})` : "",
        score.why ? el("small", {}, score.why) : null,
      ),
      el("td", {}, !score.applies ? "does not apply" : score.value === null ? "unmeasured" : compact(score.value)),
      el("td", {}, score.applies ? `× ${compact(score.weight)}` : ""),
    ),
  );
  const total = episode.reward === null ? "Reward: masked" : `Reward: ${compact(episode.reward)}`;
  return panelOf(total, el("table", { class: "scores" }, el("tbody", {}, rows)));
}

function factsOfEpisode(episode) {
  const pairs = {
    stop: episode.stop,
    failure: episode.failure || "none",
    seed: String(episode.seed),
    episode: episode.id,
  };
  return panelOf(
    "Episode",
    el(
      "dl",
      {},
      Object.entries(pairs).flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, v)]),
    ),
  );
}

function tokensView(episode) {
  const count = (kind) => episode.mask.filter(([value]) => value === kind).reduce((sum, [, length]) => sum + length, 0);
  const details = el("details", { class: "tokens" }, el("summary", {}, "Tokens"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const split = `${plural(count(1), "token")} of the policy (mask 1), ${count(0)} of the user (mask 0)`;
    const words = `${split}, after a prompt of ${episode.prompt_tokens}.`;
    details.append(el("p", { class: "note" }, words), tokenGrid(episode.mask), tokenRuns(episode.mask));
  });
  return details;
}

// One cell for each token up to a size that a browser draws at once; beyond it a cell stands for several.
function tokenGrid(mask) {
  const total = mask.reduce((sum, [, length]) => sum + length, 0);
  const each = Math.ceil(total / 3000);
  const cells = mask.flatMap(([value, length]) =>
    Array.from({ length: Math.ceil(length / each) }, () => el("i", { class: value ? "mine" : "" })),
  );
  return el("div", { class: "grid", title: each > 1 ? `a cell is ${each} tokens` : "a cell is a token" }, cells);
}

const tokenRuns = (mask) =>
  el(
    "p",
    { class: "runs" },
    mask.map(([value, length]) => el("span", { class: value ? "mine" : "" }, `${value ? "policy" : "user"} ${length}`)),
  );

const panelOf = (title, ...content) => el("section", { class: "panel" }, el("h4", {}, title), content);

const prose = (text) => el("div", { class: "prose" }, text);

function markdown(text) {
  if (!text) return [el("p", { class: "note" }, "(nothing)")];
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(/```([^\n`]*)\n([\s\S]*?)(?:```|$)/g)) {
    parts.push(text.slice(end, match.index), codeView(match[2]));
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return parts
    .filter((part) => typeof part !== "string" || part.trim())
    .map((part) => (typeof part === "string" ? prose(part.trim()) : part));
}

const KEYWORDS = [
  "and as assert async await break class continue def del elif else except finally for from global if",
  "import in is lambda nonlocal not or pass raise return try while with yield None True False",
]
  .join(" ")
  .replaceAll(" ", "|");
const PYTHON = new RegExp(
  [
    /(?<comment>#[^\n]*)/,
    /(?<string>"""[\s\S]*?(?:"""|$)|'''[\s\S]*?(?:'''|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?)/,
    new RegExp(`(?<keyword>\\b(?:${KEYWORDS})\\b)`),
    /(?<value>\b\d[\d_.]*(?:e[+-]?\d+)?\b)/,
  ]
    .map((part) => part.source)
    .join("|"),
  "g",
);

function codeView(code) {
  const pieces = [];
  let end = 0;
  for (const match of code.matchAll(PYTHON)) {
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    pieces.push(code.slice(end, match.index), el("span", { class: kind }, match[0]));
    end = match.index + match[0].length;
  }
  pieces.push(code.slice(end).trimEnd());
  return el("pre", { class: "listing" }, el("code", {}, pieces));
}
