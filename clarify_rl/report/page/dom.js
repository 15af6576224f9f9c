"use strict";

// Text reaches the page only as text nodes, never as HTML: a transcript may say anything.
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") Object.entries(value).forEach(([key, text]) => node.style.setProperty(key, text));
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

async function unpack(element) {
  if (typeof DecompressionStream === "undefined") {
    throw new Error("This browser is too old for the page: it takes Chrome 80, Firefox 113 or Safari 16.4.");
  }
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

const DASH = "–";
const percent = (mean) => (mean.value === null ? DASH : (100 * mean.value).toFixed(1));
const signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(1);
const compact = (number) => {
  if (number === null) return DASH;
  const size = Math.abs(number);
  if (size !== 0 && (size < 0.001 || size >= 100000)) return number.toExponential(1);
  return String(Number(number.toPrecision(4)));
};
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

// The first checkpoint is the grey background, the last one the accent; those between take the other colours.
function colour(data, checkpoint) {
  const index = data.comparison.checkpoints.indexOf(checkpoint);
  if (index === data.comparison.checkpoints.length - 1) return "var(--accent)";
  return index === 0 ? "var(--series-0)" : `var(--series-${1 + ((index - 1) % 4)})`;
}

const dot = (data, checkpoint) => el("i", { class: "dot", style: { background: colour(data, checkpoint) } });

function legend(data) {
  return el(
    "p",
    { class: "legend" },
    data.comparison.checkpoints.map((name) => el("span", {}, dot(data, name), name)),
  );
}
