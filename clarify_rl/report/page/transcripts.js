"use strict";

const ROW_HEIGHT = 54;

function renderTranscripts(data, section) {
  const view = new Transcripts(data);
  section.replaceChildren(
    el("h2", {}, "Transcripts"),
    el("div", { class: "filters" }, view.filters, view.search, view.export),
    el("div", { class: "browser" }, el("div", { class: "list" }, view.count, view.list), view.detail),
  );
  view.section = section;
  view.readAddress();
  document.addEventListener("keydown", (event) => view.key(event));
  window.addEventListener("resize", () => view.drawRows());
  window.addEventListener("hashchange", () => view.readAddress());
}

class Transcripts {
  constructor(data) {
    this.data = data;
    this.all = data.results.flatMap((result) =>
      result.episodes.map((episode) => ({
        checkpoint: result.checkpoint,
        suite: result.suite,
        episode,
        variant: data.variants[episode.variant],
      })),
    );
    this.siblings = new Map();
    this.all.forEach((item) => {
      const key = siblingKey(item.episode);
      if (!this.siblings.has(key)) this.siblings.set(key, new Map());
      this.siblings.get(key).set(item.checkpoint, item);
    });
    this.samples = this.all.reduce((most, item) => Math.max(most, item.episode.sample), 0); // too many for arguments
    this.notes = new Notes(data);
    this.chosen = { checkpoint: data.comparison.checkpoints.at(-1) };
    this.beside = "";
    this.build();
  }

  build() {
    this.selects = {};
    this.filters = this.filterFields().map(([key, label, options]) => this.select(key, label, options));
    this.export = el("button", { type: "button", onclick: () => this.save() }, "Save these");
    this.search = el("input", {
      type: "search",
      placeholder: "Search text ( / )",
      "aria-label": "Search text",
      oninput: () => this.filter(),
      onchange: () => this.writeAddress(),
    });
    this.count = el("p", { class: "count", role: "status" });
    this.rows = el("div", { class: "rows" });
    this.list = el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Episodes", onscroll: () => this.drawRows() }, this.rows);
    this.detail = el("div", { class: "detail", tabindex: "0", role: "region", "aria-label": "Dialogue" });
  }

  /** The address carries filters and dialogue, so that a link, or a reload, shows what is shown now. */
  readAddress() {
    const [place, query] = location.hash.slice(1).split("?");
    if (place !== "transcripts" || query === undefined || query === this.address) {
      if (!this.shown) this.filter();
      return;
    }
    const asked = new URLSearchParams(query);
    this.chosen = Object.fromEntries([...asked].filter(([key]) => key in this.selects));
    for (const [key, select] of Object.entries(this.selects)) select.value = this.chosen[key] ?? "";
    this.search.value = asked.get("search") ?? "";
    this.beside = asked.get("beside") ?? "";
    const wanted = this.all.find((item) => item.episode.id === asked.get("episode") && item.checkpoint === asked.get("of") && item.suite === (asked.get("on") ?? item.suite));
    this.current = wanted ?? this.current;
    this.filter();
    if (wanted) this.open(wanted);
    this.section.scrollIntoView({ block: "start" });
  }

  writeAddress() {
    const asked = new URLSearchParams(Object.entries(this.chosen).filter(([, value]) => value));
    if (this.search.value) asked.set("search", this.search.value);
    if (this.beside) asked.set("beside", this.beside);
    if (this.current) asked.set("episode", this.current.episode.id);
    if (this.current) asked.set("of", this.current.checkpoint);
    if (this.current) asked.set("on", this.current.suite);
    this.address = asked.toString();
    history.replaceState(null, "", `#transcripts?${this.address}`);
  }

  /** What passes the filters, as a file: a line an episode, for other tools. */
  save() {
    const lines = this.shown.map((item) => {
      const { checkpoint, suite, episode, variant } = item;
      const note = this.notes.of(item);
      return JSON.stringify({ checkpoint, suite, ...episode, variant: variant.id, prompt: variant.prompt, note });
    });
    const link = el("a", { href: URL.createObjectURL(new Blob([`${lines.join("\n")}\n`])), download: "episodes.jsonl" });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  filterFields() {
    const names = (values) => [...new Set(values)].sort().map((value) => [value, value.replace("_", " ")]);
    const { checkpoints, suites } = this.data.comparison;
    const flips = checkpoints.flatMap((a, i) =>
      checkpoints.slice(i + 1).flatMap((b) => [
        [`${b}\n${a}`, `${b} solved, ${a} not`],
        [`${a}\n${b}`, `${a} solved, ${b} not`],
      ]),
    );
    return [
      ["checkpoint", "Checkpoint", checkpoints.map((name) => [name, name])],
      ["suite", "Suite", suites.map((name) => [name, name])],
      ["kind", "Kind", names(this.all.map((item) => item.variant.kind))],
      ["outcome", "Outcome", ["solved", "unsolved", "unmeasured"].map((name) => [name, name])],
      ["stop", "Stop", names(this.all.map((item) => item.episode.stop))],
      ["reply", "Reply kind", names(this.all.flatMap((item) => item.episode.turns.map((turn) => turn.kind)))],
      ["heard", "User heard", names(this.all.flatMap((item) => heardIn(item.episode)))],
      ["judge", "Judge", this.all.some((item) => item.episode.judge) ? JUDGED : []],
      ["noted", "Notes", [["yes", "with a note"]]],
      ["differs", "Differs", [["any", "any difference in solved"], ...flips]],
    ].filter(([key, , options]) => options.length > 1 || ["outcome", "noted"].includes(key));
  }

  select(key, label, options) {
    const change = (event) => {
      this.chosen[key] = event.target.value;
      this.filter();
      this.writeAddress();
    };
    const entries = [["", "any"], ...options].map(([value, text]) =>
      el("option", { value, selected: this.chosen[key] === value && value !== "" }, text),
    );
    this.selects[key] = el("select", { onchange: change }, entries);
    return el("label", {}, label, this.selects[key]);
  }

  filter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.shown = this.all.filter((item) => this.matches(item) && words.every((word) => textOf(item).includes(word)));
    const position = this.shown.indexOf(this.current);
    this.count.textContent = `${plural(this.shown.length, "episode")} of ${this.all.length.toLocaleString("en")}`;
    this.rows.style.height = `${this.shown.length * ROW_HEIGHT}px`;
    if (position < 0) this.list.scrollTop = 0;
    this.open(position < 0 ? this.shown[0] : this.current, false);
  }

  matches(item) {
    const { checkpoint, suite, kind, outcome, stop, reply, heard, judge, noted, differs } = this.chosen;
    return (
      (!checkpoint || item.checkpoint === checkpoint) &&
      (!suite || item.suite === suite) &&
      (!kind || item.variant.kind === kind) &&
      (!outcome || outcomeOf(item.episode) === outcome) &&
      (!stop || item.episode.stop === stop) &&
      (!reply || item.episode.turns.some((turn) => turn.kind === reply)) &&
      (!heard || heardIn(item.episode).includes(heard)) &&
      (!judge || judgedAs(item.episode).includes(judge)) &&
      (!noted || this.notes.of(item) !== "") &&
      (!differs || this.differs(item, differs))
    );
  }

  differs(item, wanted) {
    const siblings = this.siblings.get(siblingKey(item.episode));
    const solved = (name) => siblings.get(name)?.episode.solved ?? null;
    if (wanted !== "any") {
      const [winner, loser] = wanted.split("\n");
      return solved(winner) === true && solved(loser) === false;
    }
    const outcomes = [...siblings.keys()].map(solved);
    return outcomes.includes(true) && outcomes.includes(false);
  }

  open(item, byHand = true) {
    this.current = item;
    if (byHand) this.section.classList.add("reading");
    this.drawRows();
    this.drawDetail();
    if (byHand) this.writeAddress();
  }

  drawRows() {
    const first = Math.max(0, Math.floor(this.list.scrollTop / ROW_HEIGHT) - 5);
    const last = Math.ceil((this.list.scrollTop + (this.list.clientHeight || 600)) / ROW_HEIGHT) + 5;
    this.rows.replaceChildren(...this.shown.slice(first, last).map((item, i) => this.row(item, first + i)));
  }

  row(item, position) {
    const { episode, variant } = item;
    const questions = episode.turns.reduce((sum, turn) => sum + turn.questions.length, 0);
    const asked = questions ? plural(questions, "question") : episode.turns.length ? "no question" : "no reply";
    const about = [variant.kind, asked, episode.stop.replace("_", " ")];
    return el(
      "button",
      {
        type: "button",
        class: "item",
        "aria-current": item === this.current ? "true" : false,
        tabindex: "-1",
        title: variant.id,
        style: { top: `${position * ROW_HEIGHT}px` },
        onclick: () => this.open(item),
      },
      el("i", { class: `outcome ${outcomeOf(episode)}`, title: outcomeOf(episode) }),
      el("span", { class: "name" }, variant.id),
      el(
        "small",
        {},
        this.notes.of(item) ? el("b", { title: this.notes.of(item) }, "noted · ") : null,
        this.chosen.checkpoint ? null : [dot(this.data, item.checkpoint), `${item.checkpoint} · `],
        about.join(" · "),
      ),
    );
  }

  drawDetail() {
    if (!this.current) {
      this.detail.replaceChildren(el("p", { class: "note" }, "No episode passes these filters."));
      return;
    }
    const { checkpoint, episode, variant } = this.current;
    const other = this.siblings.get(siblingKey(episode)).get(this.beside);
    const shown = [{ checkpoint, episode }];
    if (other && other !== this.current) shown.push({ checkpoint: other.checkpoint, episode: other.episode });
    const order = this.data.comparison.checkpoints;
    shown.sort((a, b) => order.indexOf(a.checkpoint) - order.indexOf(b.checkpoint));
    this.detail.replaceChildren(this.head(), renderVariant(this.data, variant, shown));
    this.detail.scrollTop = 0;
  }

  head() {
    const { suite, variant } = this.current;
    const step = (by, label, key) =>
      el("button", { type: "button", onclick: () => this.move(by), title: `key ${key}` }, label);
    return el(
      "header",
      {},
      el(
        "div",
        { class: "steps" },
        el(
          "button",
          { type: "button", class: "back", onclick: () => this.section.classList.remove("reading") },
          "Back to the list",
        ),
        step(-1, "Previous", "k"),
        step(1, "Next", "j"),
      ),
      el("h3", {}, variant.id),
      el("p", {}, el("span", { class: "tag" }, variant.kind), el("span", { class: "note" }, suite)),
      el("div", { class: "choose" }, this.checkpointButtons(), this.besideSelect(), this.sampleSelect()),
      this.noteField(),
    );
  }

  checkpointButtons() {
    const siblings = [...this.siblings.get(siblingKey(this.current.episode)).values()];
    const buttons = siblings.map((item) =>
      el(
        "button",
        { type: "button", "aria-pressed": String(item === this.current), onclick: () => this.open(item) },
        el("i", { class: `outcome ${outcomeOf(item.episode)}` }),
        `${item.checkpoint} ${outcomeOf(item.episode)}`,
      ),
    );
    return el("div", { class: "tabs", role: "group", "aria-label": "Checkpoint" }, buttons);
  }

  besideSelect() {
    const names = [...this.siblings.get(siblingKey(this.current.episode)).keys()].filter(
      (name) => name !== this.current.checkpoint,
    );
    if (!names.length) return null;
    const change = (event) => {
      this.beside = event.target.value;
      this.drawDetail();
      this.writeAddress();
    };
    const options = ["", ...names].map((name) =>
      el("option", { value: name, selected: name === this.beside }, name || "nothing"),
    );
    return el("label", {}, "Beside it", el("select", { onchange: change }, options));
  }

  /** What a reader wrote down about this dialogue. */
  noteField() {
    const item = this.current;
    const field = el("textarea", {
      rows: "1",
      placeholder: "Your note: kept in this browser, and in what you save",
      "aria-label": "Your note",
      oninput: (event) => {
        this.notes.write(item, event.target.value);
        this.drawRows();
      },
    });
    field.value = this.notes.of(item);
    return field;
  }

  /** The other episodes of the same checkpoint and variant, where each variant was played several times. */
  sampleSelect() {
    const { checkpoint, episode } = this.current;
    if (this.samples < 2) return null;
    const own = [];
    for (let sample = 1; sample <= this.samples; sample += 1) {
      const item = this.siblings.get(siblingKey({ ...episode, sample }))?.get(checkpoint);
      if (item) own.push(item);
    }
    const options = own.map((item) =>
      el("option", { value: item.episode.sample, selected: item === this.current }, `${item.episode.sample} ${outcomeOf(item.episode)}`),
    );
    const change = (event) => this.open(own.find((item) => String(item.episode.sample) === event.target.value));
    return el("label", {}, "Sample", el("select", { onchange: change }, options));
  }

  move(by) {
    // A checkpoint chosen by hand may be outside the list: go on from its sibling that is in it.
    const here = this.shown.findIndex((item) => item === this.current);
    const near =
      here < 0 ? this.shown.findIndex((item) => item.episode.variant === this.current?.episode.variant) : here;
    const next = Math.min(this.shown.length - 1, Math.max(0, near + by));
    if (!this.shown.length) return;
    const [top, height] = [next * ROW_HEIGHT, this.list.clientHeight];
    if (top < this.list.scrollTop || top + ROW_HEIGHT > this.list.scrollTop + height)
      this.list.scrollTop = top - height / 2;
    this.open(this.shown[next]);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const inList = document.activeElement === this.list;
    const by = { j: 1, k: -1, ...(inList ? { ArrowDown: 1, ArrowUp: -1 } : {}) }[event.key];
    if (inList && event.key === "Enter" && this.current) {
      this.open(this.current);
      this.detail.focus();
      return;
    }
    if (by === undefined && event.key !== "/") return;
    event.preventDefault();
    this.section.scrollIntoView({ block: "start" });
    if (by) this.move(by);
    else this.search.focus();
  }
}

/** Notes on dialogues, by checkpoint and episode, kept by the browser for this run alone. */
class Notes {
  constructor(data) {
    const { command, started } = data.run;
    this.key = `clarify-rl notes ${location.pathname} ${command ?? ""} ${started ?? ""}`;
    try {
      this.known = JSON.parse(localStorage.getItem(this.key) ?? "{}");
    } catch {
      this.known = {}; // a browser that keeps nothing for files: notes last as long as the page
    }
  }

  of(item) {
    return this.known[noteKey(item)] ?? "";
  }

  write(item, text) {
    const name = noteKey(item);
    if (text) this.known[name] = text;
    else delete this.known[name];
    try {
      localStorage.setItem(this.key, JSON.stringify(this.known));
    } catch {
      // as above
    }
  }
}

/** An episode has one id in every circumstance of a suite. */
const noteKey = ({ suite, checkpoint, episode }) => `${suite} ${checkpoint} ${episode.id}`;

/** Checkpoints are laid side by side sample by sample. */
const siblingKey = ({ variant, sample }) => `${variant}#${sample}`;

const JUDGED = ["good", "fair", "bad", "asks", "asks not", "otherwise than our rules"].map((name) => [name, name]);

/** What a judge that was asked (clarify-rl grade) said of the first reply. */
const judgedAs = ({ judge, asked }) =>
  judge
    ? [judge.asks ? ["bad", "fair", "good"][judge.grade - 1] : "", judge.asks ? "asks" : "asks not", judge.asks === asked ? "" : JUDGED.at(-1)[0]]
    : [];

const heardIn = (episode) =>
  episode.turns.flatMap((turn) => (turn.answer ? turn.answer.heard.map(({ outcome }) => outcome) : []));

const texts = new WeakMap();

function textOf(item) {
  if (!texts.has(item)) {
    const { episode, variant } = item;
    const turns = episode.turns.flatMap((turn) => [turn.text, turn.answer?.text ?? ""]);
    const facts = variant.facts.map((fact) => fact.statement);
    texts.set(
      item,
      [episode.id, variant.id, variant.prompt, ...facts, ...turns, episode.failure, episode.execution?.detail ?? ""]
        .join("\n")
        .toLowerCase(),
    );
  }
  return texts.get(item);
}
