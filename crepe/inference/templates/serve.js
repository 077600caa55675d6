
"use strict";
const PAUSE = 120, REST = 300; // ms: delay between requests for bars; pause in typing before a request for colours
const LEVELS = 12; // shades of a colour
const [text, marks, bars, status, best, example] =
  ["text", "marks", "bars", "status", "class", "example"].map((id) => document.getElementById(id));
let shown = ""; // the text to which `weights` belong, one for each of its UTF-16 units
let weights = [];
let busy = false, due = 0, rest = 0; // timers, 0 for none

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

async function ask(value, explain) {
  for (;;) {
    const answer = await fetch("predict", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ texts: [value], explain }),
    });
    if (answer.ok) return (await answer.json()).predictions[0];
    if (answer.status !== 429) {
      const reason = await answer.json().catch(() => ({}));
      throw new Error(reason.detail ?? `The server answered with status ${answer.status}.`);
    }
    await wait(1000 * Number(answer.headers.get("Retry-After") ?? 1));
  }
}

function say(message, fault = false) {
  if (status.textContent !== message) status.textContent = message;
  status.classList.toggle("fault", fault);
}

function draw(answer) {
  const most = answer ? Math.max(...answer.probabilities) : -1;
  [...bars.children].forEach((row, index) => {
    const share = answer ? 100 * answer.probabilities[index] : 0;
    row.querySelector(".fill").style.setProperty("--share", share);
    row.querySelector(".percent").textContent = answer ? `${share.toFixed(1)} %` : "–";
    row.classList.toggle("best", answer?.probabilities.indexOf(most) === index);
  });
  best.textContent = answer ? answer.class : "the class";
}

// Keep the colours of unchanged parts until new ones arrive.
function carry() {
  const value = text.value, shorter = Math.min(value.length, shown.length);
  let before = 0, after = 0;
  while (before < shorter && value[before] === shown[before]) before++;
  while (after < shorter - before && value.at(-1 - after) === shown.at(-1 - after)) after++;
  const fresh = new Array(value.length - before - after).fill(0);
  weights = [...weights.slice(0, before), ...fresh, ...weights.slice(shown.length - after)];
  shown = value;
}

function weigh(pieces) {
  const begin = shown.indexOf(pieces.map(([piece]) => piece).join(""));
  weights = new Array(shown.length).fill(0);
  if (begin < 0) return;
  weights.splice(begin, Infinity, ...pieces.flatMap(([piece, weight]) => new Array(piece.length).fill(weight)));
  while (weights.length < shown.length) weights.push(0);
}

function paint() {
  const most = weights.reduce((least, weight) => Math.max(least, Math.abs(weight)), 0) || 1;
  const level = (weight) => Math.round((LEVELS * (weight ?? 0)) / most);
  const parts = document.createDocumentFragment();
  for (let start = 0, stop = 0; start < shown.length; start = stop) {
    const depth = level(weights[start]);
    while (stop < shown.length && level(weights[stop]) === depth) stop++;
    const part = document.createElement(depth ? "mark" : "span");
    part.textContent = shown.slice(start, stop);
    if (depth) {
      part.className = depth > 0 ? "for" : "against";
      part.style.setProperty("--share", (100 * Math.abs(depth)) / LEVELS);
    }
    parts.append(part);
  }
  parts.append("\u200b"); // Gives an empty last line its height.
  marks.replaceChildren(parts);
}

async function update(explain) {
  if (!explain) due = 0;
  if (busy) return soon();
  const value = text.value;
  if (value.trim() === "") {
    draw(null);
    return say("");
  }
  busy = true;
  try {
    const answer = await ask(value, explain);
    if (text.value.trim() !== "") draw(answer);
    if (text.value === value) {
      say(`${answer.class}, ${(100 * answer.probability).toFixed(1)} %`);
      if (explain) {
        weigh(answer.explanation);
        paint();
      } else rest = setTimeout(update, REST, true);
    }
  } catch (error) {
    say(error instanceof TypeError ? "The server does not answer." : error.message, true);
  } finally {
    busy = false;
  }
}

// The bars also follow somebody who types without a pause.
function soon() {
  clearTimeout(rest);
  due ||= setTimeout(update, PAUSE, false);
}

text.addEventListener("input", () => {
  carry();
  paint();
  soon();
});

example.textContent = `curl ${new URL("predict", location)} -H 'Content-Type: application/json' \\
  -d '{"texts": ["A text."]}'`;
if (text.value) text.dispatchEvent(new Event("input")); // Text that the browser kept from an earlier visit.
else paint();
