"use strict";

function renderRun(data, section) {
  const { "config.yaml": config, ...circumstances } = data.run;
  const rows = Object.entries(circumstances).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
  const size = `${plural(data.variants.length, "variant")}, ${plural(
    data.results.reduce((n, r) => n + r.episodes.length, 0),
    "episode",
  )}.`;
  const hint = "Keys: j and k, or the arrows in the list, for the next and previous transcript; / to search. The address leads here again.";
  section.replaceChildren(
    el("h2", {}, "Run"),
    rows.length ? el("details", { open: true }, el("summary", {}, "How this was made"), el("dl", {}, rows)) : "",
    config ? el("details", {}, el("summary", {}, "Its whole configuration"), el("pre", { tabindex: "0" }, config)) : "",
    el("p", { class: "note" }, `${size} ${hint}`),
  );
}

/** A page of dialogues that are not compared has no tables. */
function withoutResults(views) {
  delete views.results;
  for (const name of ["results", "kinds"]) {
    document.getElementById(name).remove();
    document.querySelector(`nav a[href="#${name}"]`).remove();
  }
}

async function main() {
  const status = document.getElementById("status");
  try {
    const data = await unpack(document.getElementById("data"));
    document.querySelector("main").hidden = false;
    const views = { results: renderResults, training: renderCurves, transcripts: renderTranscripts, run: renderRun };
    if (!data.comparison.summaries.length) withoutResults(views);
    for (const [name, render] of Object.entries(views)) render(data, document.getElementById(name));
    status.remove();
  } catch (error) {
    status.textContent = `The page could not be drawn. ${error.message}`;
    throw error;
  }
}

main();
