"use strict";
// The page's state and its ways to change: time window, cursor, selection. Times are microseconds.

const run = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const WINDOW_MIN = 200; // The shortest time that can fill the picture.

const state = {
  from: run.focus[0],
  to: run.focus[1],
  cursor: run.failed ?? 0,
  key: null, // Index into run.keys.
  messages: run.conversations.map((conversation) => conversation.is_shown), // By kind.
  picked: null, // What is pinned in the details: { kind, index }.
};

const escapeText = (text) =>
  String(text).replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);

/** Seconds, with as many digits as a step of `step` needs. */
function seconds(at, step = 1000) {
  const digits = step >= 1e6 ? 0 : step >= 1e5 ? 1 : step >= 1e4 ? 2 : step >= 1e3 ? 3 : 6;
  return (at / 1e6).toFixed(digits);
}

function span(duration) {
  if (duration >= 1e6) return (duration / 1e6).toFixed(2) + " s";
  return duration >= 1000 ? (duration / 1000).toFixed(1) + " ms" : duration + " µs";
}

let scheduled = false;
/** Draws once before the next frame, however often it is asked. */
function redraw() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    drawChart();
    drawOverview();
    showMoments();
  });
}

function show(from, to) {
  const end = run.end;
  const width = Math.min(Math.max(to - from, WINDOW_MIN), end * 1.1);
  const middle = (from + to) / 2;
  const first = Math.min(Math.max(middle - width / 2, -end * 0.02), end * 1.08 - width);
  state.from = first;
  state.to = first + width;
  redraw();
}

function zoom(factor, at = (state.from + state.to) / 2) {
  show(at - (at - state.from) * factor, at + (state.to - at) * factor);
}

function pan(share) {
  const by = (state.to - state.from) * share;
  show(state.from + by, state.to + by);
}

/** Puts the cursor at a time, and the time into the picture and into the address. */
function moveTo(at, address = true) {
  state.cursor = Math.min(Math.max(at, 0), run.end);
  const width = state.to - state.from;
  if (state.cursor < state.from + width * 0.03 || state.cursor > state.to - width * 0.03) {
    show(state.cursor - width / 2, state.cursor + width / 2);
  }
  if (address) {
    try {
      history.replaceState(null, "", "#t=" + seconds(state.cursor, 1));
    } catch {
      // Some browsers refuse this for pages from disk; the address is a convenience.
    }
  }
  redraw();
}

/** Follows `#t=12.34`; says whether there was one. */
function followAddress() {
  const match = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (!match) return false;
  const at = Number(match[1]) * 1e6;
  const half = Math.min(2e6, run.end / 2);
  state.cursor = Math.min(at, run.end);
  show(at - half, at + half);
  return true;
}

function jumpToFailure() {
  if (run.failed === null) return;
  moveTo(run.failed);
  show(run.focus[0], run.focus[1]);
}

/** The place of the first moment at or after a time. */
function momentAt(at) {
  let low = 0;
  let high = run.moments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (run.moments[middle][0] < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

let current = -1; // The moment that was stepped to.
function stepTo(place) {
  if (run.moments.length === 0) return;
  current = Math.min(Math.max(place, 0), run.moments.length - 1);
  moveTo(run.moments[current][0]);
}
function step(by) {
  const here = current >= 0 && run.moments[current][0] === state.cursor ? current : momentAt(state.cursor) - (by > 0 ? 1 : 0);
  stepTo(here + by);
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("select, input, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    ArrowLeft: () => (event.shiftKey ? pan(-0.25) : step(-1)),
    ArrowRight: () => (event.shiftKey ? pan(0.25) : step(1)),
    "+": () => zoom(0.6, state.cursor),
    "=": () => zoom(0.6, state.cursor),
    "-": () => zoom(1 / 0.6, state.cursor),
    0: () => show(0, run.end * 1.03),
    v: jumpToFailure,
    m: () => toggleMessages(),
    Escape: () => pick(null),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});
window.addEventListener("hashchange", followAddress);
window.addEventListener("resize", redraw);
let printing = false;
for (const moment of ["beforeprint", "afterprint"]) {
  window.addEventListener(moment, () => {
    printing = moment === "beforeprint";
    drawChart();
  });
}

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
