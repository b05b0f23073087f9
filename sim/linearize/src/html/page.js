"use strict";
// Draws a history anew for the window of time that is shown.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const escapeText = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

const LABELS = 110; // Width of the names at the left.
const LANE = 26;
const BAR = 20;
const TOP = 26;
const MARGIN = 6; // Events shown on either side of a contradiction.
const DRAWN_MAX = 4000; // Bars in one window; more would be a grey area.
const END = Math.max(data.times.length + 1, 4);
const chart = byId("chart");
const overview = byId("overview");
const VALUES = TOP;
const LANES = VALUES + (data.keys.length ? 34 : 0);
const laneY = (lane) => LANES + lane * LANE + 3;
const HEIGHT = LANES + data.lanes.length * LANE + 10;

const evidence = data.operations
  .map((operation, place) => ({ operation, place }))
  .filter(({ operation }) => operation.part)
  .sort((one, other) => one.operation.from - other.operation.from);
const numberOf = new Map(evidence.map(({ place }, number) => [place, number + 1]));
const until = (operation) => operation.to ?? END;

const state = { from: 0, to: END, key: 0, picked: null };

/** Where the chosen order has each operation: its place, its point and what it left. */
let effects = new Map();
function choose(key) {
  state.key = key;
  const order = data.keys[key] ? data.keys[key].order : [];
  effects = new Map(order.map(([place, at, after], rank) => [place, { rank, at, after, before: rank ? order[rank - 1][2] : null }]));
}

function show(from, to) {
  const width = Math.min(Math.max(to - from, 3), END + 2);
  const begin = Math.min(Math.max(from, -1), END + 1 - width);
  state.from = begin;
  state.to = begin + width;
  draw();
}

function showContradiction() {
  if (!evidence.length) return show(0, Math.min(END, 60));
  const from = Math.min(...evidence.map(({ operation }) => operation.from));
  const ends = evidence.map(({ operation }) => operation.to ?? operation.from + MARGIN);
  show(from - MARGIN, Math.max(...ends) + MARGIN);
}

function zoom(factor, centre = (state.from + state.to) / 2) {
  show(centre - (centre - state.from) * factor, centre + (state.to - centre) * factor);
}

/** A text that fits into a width, or nothing. */
function fitted(text, x1, x2, right, y, style) {
  const from = Math.max(x1, LABELS) + 4;
  const room = Math.floor((Math.min(x2, right) - from - 2) / 7.3);
  if (room < 2) return "";
  const cut = text.length <= room ? text : room < 4 ? "" : text.slice(0, room - 1) + "…";
  return cut && `<text class="${style}" x="${from.toFixed(1)}" y="${y}">${escapeText(cut)}</text>`;
}

function draw() {
  const width = Math.max(chart.clientWidth || 1200, 600);
  const right = width - 8;
  const scale = (right - LABELS) / (state.to - state.from);
  const x = (at) => LABELS + (at - state.from) * scale;
  const out = [];
  const notes = [];
  drawGrid(out, x, right);
  const visible = data.operations.map((operation, place) => ({ operation, place })).filter(({ operation }) => until(operation) >= state.from && operation.from <= state.to);
  const drawn = visible.length <= DRAWN_MAX ? visible : visible.filter(({ operation }, index) => operation.part || index % Math.ceil(visible.length / DRAWN_MAX) === 0);
  const key = data.keys[state.key];
  for (const { operation, place } of drawn) {
    const y = laneY(operation.lane);
    const x1 = Math.max(x(operation.from), LABELS - 6);
    const x2 = Math.min(Math.max(x(until(operation)), x1 + 3), right + 6);
    const kind = operation.part ?? (operation.to === null ? "unknown" : "ok");
    const other = data.keys.length && key && operation.key !== key.name && !operation.part ? " other" : "";
    const picked = state.picked === place ? " picked" : "";
    out.push(`<rect class="op ${kind}${other}${picked}" data-place="${place}" x="${x1.toFixed(1)}" y="${y}" width="${(x2 - x1).toFixed(1)}" height="${BAR}" rx="2"/>`);
    const fits = x2 - x1 >= operation.text.length * 7.3 + 8;
    if (operation.part && !fits) {
      const room = right - x2 > operation.text.length * 7.3 + 10;
      notes.push(`<text class="beside" x="${(room ? x2 + 5 : x1 - 12).toFixed(1)}" y="${y + 14}" text-anchor="${room ? "start" : "end"}">${escapeText(operation.text)}</text>`);
    } else out.push(fitted(operation.text, x1 + (operation.part ? 8 : 0), x2, right, y + 14, other ? "name" : `on ${kind}`));
  }
  drawOrder(out, x);
  drawEvidence(notes, x);
  drawValues(out, x, right);
  chart.setAttribute("height", HEIGHT);
  chart.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  const names = data.lanes.map((name, lane) => `<text class="name" x="8" y="${laneY(lane) + 14}">${escapeText(name.length > 13 ? name.slice(0, 12) + "…" : name)}</text>`);
  if (key) names.push(`<text class="name" x="8" y="${VALUES + 15}">${escapeText((key.name || "state").slice(0, 13))}</text>`);
  chart.innerHTML =
    `<defs><linearGradient id="fade"><stop offset="0" stop-color="var(--unknown)"/><stop offset="1" stop-color="var(--unknown)" stop-opacity=".15"/></linearGradient>` +
    `<clipPath id="time"><rect x="${LABELS}" y="0" width="${right - LABELS}" height="${HEIGHT}"/></clipPath></defs>` +
    `<g clip-path="url(#time)">${out.join("")}${notes.join("")}</g><rect class="labels" x="0" y="0" width="${LABELS - 1}" height="${HEIGHT}"/>${names.join("")}`;
  const cut = data.total > data.operations.length ? `${data.operations.length} of ${data.total} operations are in this page. ` : "";
  byId("note").textContent = cut + (drawn.length < visible.length ? `${visible.length} operations here: zoom in to see them all` : `${visible.length} operations here`);
  drawOverview();
}

function drawGrid(out, x, right) {
  const step = Math.max(1, Math.ceil((state.to - state.from) / Math.max((right - LABELS) / 120, 1)));
  for (let at = Math.max(0, Math.ceil(state.from / step) * step); at <= Math.min(state.to, data.times.length - 1); at += step) {
    out.push(`<line class="grid" x1="${x(at).toFixed(1)}" x2="${x(at).toFixed(1)}" y1="20" y2="${HEIGHT}"/><text class="tick" x="${x(at).toFixed(1)}" y="14">${escapeText(data.times[at])}</text>`);
  }
  data.lanes.forEach((_, lane) => out.push(`<line class="lane" x1="0" x2="${right}" y1="${laneY(lane) + LANE - 4}" y2="${laneY(lane) + LANE - 4}"/>`));
}

/** A point where each operation took effect, and a line through them in that order. */
function drawOrder(out, x) {
  const line = [];
  for (const [place, { at }] of effects) {
    if (at < state.from - 1 || at > state.to + 1) continue;
    const px = x(at);
    const py = laneY(data.operations[place].lane) + BAR / 2;
    line.push(`${px.toFixed(1)} ${py}`);
    out.push(`<path class="point" d="M${(px - 4).toFixed(1)} ${py + 6}l4 -4l4 4l-4 4z"/>`);
  }
  if (line.length > 1 && line.length < 400) out.push(`<path class="path" d="M${line.join("L")}"/>`);
}

/** Numbers on the operations of the verdict, and a line through those that contradict. */
function drawEvidence(out, x) {
  const points = [];
  for (const { operation, place } of evidence) {
    const at = x(operation.from);
    const y = laneY(operation.lane);
    if (operation.part === "against") points.push(`${at.toFixed(1)} ${y + BAR / 2}`);
    const colour = { against: "--bad", support: "--support", open: "--unknown" }[operation.part];
    const ink = { against: "--on-bad", support: "--on-support", open: "--on-unknown" }[operation.part];
    out.push(`<circle cx="${at.toFixed(1)}" cy="${y + 1}" r="8" fill="var(${colour})" stroke="var(--paper)"/><text x="${at.toFixed(1)}" y="${y + 5}" text-anchor="middle" style="fill:var(${ink});font-weight:700">${numberOf.get(place)}</text>`);
  }
  if (points.length > 1) out.unshift(`<path class="link" d="M${points.join("L")}"/>`);
}

/** What the object held, below the lanes. */
function drawValues(out, x, right) {
  const key = data.keys[state.key];
  if (!key) return;
  const last = key.until ?? END;
  const changes = key.order.filter(([, , after], rank) => after !== null && (rank === 0 || after !== key.order[rank - 1][2]));
  changes.forEach(([place, at, after], rank) => {
    const to = rank + 1 < changes.length ? changes[rank + 1][1] : Math.max(last, at);
    if (to < state.from || at > state.to) return;
    const x1 = Math.max(x(at), LABELS - 6);
    const x2 = Math.min(x(to), right + 6);
    out.push(`<rect class="value${rank % 2 ? " odd" : ""}" data-place="${place}" x="${x1.toFixed(1)}" y="${VALUES}" width="${Math.max(x2 - x1, 1).toFixed(1)}" height="22"/>`, fitted(after, x1, x2, right, VALUES + 15, "t-value"));
  });
  if (key.until !== null && key.until <= state.to) {
    const x1 = Math.max(x(key.until), LABELS);
    out.push(`<rect class="noorder" x="${x1.toFixed(1)}" y="${VALUES}" width="${Math.max(right - x1, 1).toFixed(1)}" height="22"/>`, fitted("no order explains what follows", x1, right, right, VALUES + 15, "t-noorder"));
  }
}

function drawOverview() {
  const width = overview.clientWidth || 1200;
  const x = (at) => LABELS + (Math.min(Math.max(at, 0), END) / END) * (width - LABELS - 8);
  const step = Math.ceil(data.operations.length / 2500);
  const out = data.operations.filter((operation, place) => operation.part || place % step === 0).map((operation) => {
    const kind = operation.part ?? (operation.to === null ? "unknown" : "ok");
    const y = operation.part ? 4 : 8 + (operation.lane % 8) * 4;
    return `<rect class="op ${kind}" x="${x(operation.from).toFixed(1)}" y="${y}" width="${Math.max(x(until(operation)) - x(operation.from), 1).toFixed(1)}" height="${operation.part ? 36 : 3}"/>`;
  });
  out.push(`<rect class="window" x="${x(state.from).toFixed(1)}" y="1" width="${Math.max(x(state.to) - x(state.from), 4).toFixed(1)}" height="42" rx="3"/><text class="name" x="8" y="26">whole history</text>`);
  overview.innerHTML = out.join("");
}

const file = data.file.split("/").pop();
const where = (operation) => (operation.line === null ? `operation ${operation.index}` : `${file ? file + ":" : "line "}${operation.line}`);

/** Everything known of an operation. */
function told(place) {
  const operation = data.operations[place];
  const number = numberOf.has(place) ? `(${numberOf.get(place)}) ` : "";
  const lines = [`${number}${operation.text}`, `${where(operation)}, ${operation.process}`, operation.ret === null ? `from ${operation.call} on, of unknown outcome` : `from ${operation.call} to ${operation.ret}`];
  const effect = effects.get(place);
  if (effect) {
    lines.push(`place ${effect.rank + 1} of ${effects.size} in the order`);
    if (effect.after !== null) lines.push(`state before: ${effect.before ?? "as at first"}`, `state after:  ${effect.after}`);
  } else if (data.keys[state.key] && data.keys[state.key].name === operation.key) lines.push("has no place in the longest order found");
  return lines.join("\n");
}

function pick(place) {
  state.picked = place;
  byId("details").textContent = place === null ? "Point at an operation." : told(place);
  for (const row of byId("evidence").rows) row.classList.toggle("picked", place !== null && row.dataset.place === String(place));
}

function jump(place) {
  const operation = data.operations[place];
  pick(place);
  const half = Math.min((state.to - state.from) / 2, 20);
  const end = operation.to ?? operation.from + 2;
  show(Math.min(operation.from - 2, (operation.from + end) / 2 - half), Math.max(operation.from + 4, (operation.from + end) / 2 + half));
  const frame = chart.parentElement;
  frame.scrollTop = laneY(operation.lane) - frame.clientHeight / 2;
  chart.scrollIntoView({ block: "nearest" });
}

function fill() {
  const kinds = { ok: "linearizable", bad: "not linearizable", undecided: "undecided" };
  byId("title").textContent = data.title;
  byId("badge").textContent = kinds[data.verdict];
  byId("badge").classList.add(data.verdict);
  byId("what").classList.add(data.verdict);
  byId("about").textContent = data.file;
  byId("sentence").textContent = data.sentence;
  byId("to-contradiction").textContent = { ok: "beginning", bad: "contradiction", undecided: "where it got stuck" }[data.verdict];
  if (evidence.length) {
    const row = ({ operation, place }) =>
      `<tr data-place="${place}" tabindex="0"><td><span class="number ${operation.part}">${numberOf.get(place)}</span><td>${escapeText(where(operation))}<td>${operation.index}<td>${escapeText(operation.process)}<td>${escapeText(operation.call)}<td>${escapeText(operation.ret ?? "unknown")}<td>${escapeText(operation.text)}</tr>`;
    byId("evidence").innerHTML = `<tr><th><th>where<th>operation<th>process<th>call<th>return<th></tr>${evidence.map(row).join("")}`;
  }
  byId("key").innerHTML = data.keys.map((key, index) => `<option value="${index}">${escapeText(key.name || "the only one")}</option>`).join("");
  byId("key-choice").hidden = data.keys.length < 2;
}

function placeAt(event) {
  const target = event.target.closest("[data-place]");
  return target ? Number(target.dataset.place) : null;
}

function listen() {
  byId("to-contradiction").onclick = showContradiction;
  byId("to-all").onclick = () => show(0, END);
  byId("in").onclick = () => zoom(0.6);
  byId("out").onclick = () => zoom(1.6);
  byId("key").onchange = (event) => { choose(Number(event.target.value)); draw(); };
  byId("evidence").onclick = (event) => { const place = placeAt(event); if (place !== null) jump(place); };
  byId("evidence").onkeydown = (event) => { if (event.key === "Enter") { const place = placeAt(event); if (place !== null) jump(place); } };
  const scale = () => (state.to - state.from) / (chart.clientWidth - LABELS - 8);
  chart.addEventListener("wheel", (event) => {
    if (event.shiftKey) return;
    event.preventDefault();
    const at = state.from + (event.clientX - chart.getBoundingClientRect().left - LABELS) * scale();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) show(state.from + event.deltaX * scale(), state.to + event.deltaX * scale());
    else zoom(1.15 ** Math.sign(event.deltaY), at);
  }, { passive: false });
  let drag = null;
  chart.onpointerdown = (event) => { drag = { x: event.clientX, from: state.from, to: state.to, moved: false }; };
  window.onpointerup = () => { drag = null; };
  window.onpointermove = (event) => {
    const tip = byId("tip");
    if (drag) {
      drag.moved ||= Math.abs(event.clientX - drag.x) > 3;
      const by = (drag.x - event.clientX) * scale();
      if (drag.moved) show(drag.from + by, drag.to + by);
    }
    const place = event.target.closest && event.target.closest("#chart") ? placeAt(event) : null;
    tip.hidden = place === null || Boolean(drag);
    if (tip.hidden) return;
    tip.textContent = told(place);
    tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
  };
  chart.onclick = (event) => { pick(placeAt(event)); draw(); };
  overview.onclick = (event) => {
    const at = ((event.clientX - overview.getBoundingClientRect().left - LABELS) / (overview.clientWidth - LABELS - 8)) * END;
    const half = (state.to - state.from) / 2;
    show(at - half, at + half);
  };
  window.onkeydown = (event) => {
    if (event.target.closest("select") || event.ctrlKey || event.metaKey) return;
    const by = (state.to - state.from) / 5;
    const act = { "+": () => zoom(0.6), "-": () => zoom(1.6), ArrowLeft: () => show(state.from - by, state.to - by), ArrowRight: () => show(state.from + by, state.to + by), 0: showContradiction }[event.key];
    if (act) { act(); event.preventDefault(); }
  };
  window.onresize = draw;
}

fill();
choose(0);
listen();
showContradiction();
if (evidence.length) pick(evidence[evidence.length - 1].place);
