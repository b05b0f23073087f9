// The picture: everything on one axis of time, drawn anew for the window that is shown.

const LABELS = 104; // Width of the names at the left.
const MESSAGES_DRAWN_MAX = 1500; // More arrows than this in a window would be a grey area.
const FAULT_ROWS_MAX = 7;
const CLIENT = 0; // The kind of clients' messages.
const PRINTED = 1240; // Width on paper, scaled to the sheet.
const chart = byId("chart");
const node = (index) => run.nodes[index] ?? "sim";

/** Rows for the faults: each fault in the first row that is free. */
const faultRows = (() => {
  const ends = [];
  const gap = run.end / 200;
  run.faults.forEach((fault) => {
    let row = ends.findIndex((end) => end + gap <= fault.from);
    if (row < 0) row = Math.min(ends.length, FAULT_ROWS_MAX - 1);
    ends[row] = Math.max(fault.to, ends[row] ?? 0);
    fault.row = row;
  });
  return ends.length;
})();

/** Where everything stands, from top to bottom. */
const layout = (() => {
  const at = { axis: 0 };
  let y = 26;
  if (faultRows) {
    at.faults = y + 4;
    y += faultRows * 17 + 8;
  }
  at.eras = y + 2;
  if (run.era_words) y += 30;
  at.nodes = [];
  for (const lane of run.lanes) {
    at.nodes[lane.node] = y;
    y += 46;
  }
  at.firstClient = y;
  const busy = new Set(run.operations.map((operation) => operation.client));
  for (let client = run.processes; client < run.nodes.length; client += 1) {
    if (!busy.has(client)) continue;
    at.nodes[client] = y + 2;
    y += 30;
  }
  at.key = y + 6;
  at.height = y + 52;
  return at;
})();
const isClient = (index) => index >= run.processes;
const barY = (index) => layout.nodes[index] + (isClient(index) ? 4 : 6);
const BAR = { process: 24, client: 20 };
/** The height at which messages of a node begin and end, seen from another node. */
function gate(index, other) {
  const top = barY(index);
  const height = isClient(index) ? BAR.client : BAR.process;
  return layout.nodes[other] > layout.nodes[index] ? top + height : top;
}

function ticks(from, to, count) {
  const raw = (to - from) / count;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= raw);
  const all = [];
  for (let at = Math.ceil(Math.max(from, 0) / step) * step; at <= to; at += step) all.push(at);
  return { step, all };
}

/** A text that fits into a width, or nothing. */
function fitted(text, x1, x2, left, right, y, kind) {
  const from = Math.max(x1, left) + 4;
  const room = Math.floor((Math.min(x2, right) - from - 2) / 6.7);
  if (room < 2) return "";
  const cut = text.length <= room ? text : room < 4 ? "" : text.slice(0, room - 1) + "…";
  return cut && `<text class="t-${kind}" x="${from.toFixed(1)}" y="${y}">${escapeText(cut)}</text>`;
}

const PATTERNS = ["down", "paused", "era", "unknown", "bad"].map((name) => {
  const ink = { down: "--down", paused: "--paused", era: "--era-b", unknown: "--unknown", bad: "--bad" }[name];
  const thick = { unknown: 5, paused: 3 }[name] ?? 1.6;
  return `<pattern id="hatch-${name}" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="${thick}" height="7" fill="var(${ink})"/></pattern>`;
}).join("");

let notes = []; // Drawn last, above everything else.
function drawChart() {
  notes = [];
  const width = printing ? PRINTED : Math.max(chart.clientWidth || 1200, 600);
  const right = width - 8;
  const scale = (right - LABELS) / (state.to - state.from);
  const x = (at) => LABELS + (at - state.from) * scale;
  const visible = (from, to) => to >= state.from && from <= state.to;
  const out = [];
  const bar = (kind, index, style, from, to, y, height, least = 2) => {
    const x1 = Math.max(x(from), LABELS - 6);
    const x2 = Math.min(Math.max(x(to), x1 + least), right + 6);
    const picked = state.picked && state.picked.kind === kind && state.picked.index === index ? " picked" : "";
    out.push(`<rect class="${style}${picked}" data-kind="${kind}" data-index="${index}" x="${x1.toFixed(1)}" y="${y}" width="${(x2 - x1).toFixed(1)}" height="${height}" rx="2"/>`);
    return [x1, x2];
  };
  const label = (text, x1, x2, y, kind) => out.push(fitted(text, x1, x2, LABELS, right, y, kind));
  drawGrid(out, x, right);
  drawBands(out, x, visible, bar, label);
  drawProcesses(out, visible, bar, label, x);
  drawOperations(out, visible, bar, label, x);
  const drawn = drawMessages(out, x);
  drawContradiction(out, x);
  drawKey(out, x, visible, bar, label);
  drawMarks(out, x, right);
  out.push(notes.join(""));
  drawLabels(out, width);
  chart.setAttribute("height", layout.height);
  chart.setAttribute("viewBox", `0 0 ${width} ${layout.height}`);
  const clip = `<clipPath id="time"><rect x="${LABELS}" y="0" width="${right - LABELS}" height="${layout.height}"/></clipPath>`;
  const labels = out.pop();
  chart.innerHTML = `<defs>${PATTERNS}${clip}${arrowHeads()}</defs><g clip-path="url(#time)">${out.join("")}</g>${labels}`;
  byId("note").textContent = drawn;
}

const arrowHeads = () =>
  run.conversations.map((_, kind) => `<marker id="head-${kind}" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto-start-reverse" markerUnits="userSpaceOnUse"><path class="h${kind}" d="M0 0L6 3L0 6z"/></marker>`).join("");

function drawGrid(out, x, right) {
  const { step, all } = ticks(state.from, state.to, Math.max((right - LABELS) / 110, 2));
  for (const at of all) {
    const place = x(at).toFixed(1);
    out.push(`<line class="grid" x1="${place}" x2="${place}" y1="22" y2="${layout.height}"/>`);
    // The first one would begin left of the picture.
    const anchor = x(at) < LABELS + 24 ? "start" : "middle";
    out.push(`<text class="tick" x="${place}" y="16" text-anchor="${anchor}">${seconds(at, step)} s</text>`);
  }
  for (const y of [layout.eras - 3, layout.firstClient, layout.key - 4]) {
    out.push(`<line class="rule" x1="0" x2="${right + 8}" y1="${y}" y2="${y}"/>`);
  }
}

function drawBands(out, x, visible, bar, label) {
  run.faults.forEach((fault, index) => {
    if (!visible(fault.from, fault.to)) return;
    const [x1, x2] = bar("fault", index, "fault", fault.from, fault.to, layout.faults + fault.row * 17, 14, 3);
    // A short fault is named behind its box, up to the next one in the row, if there is more room.
    const after = run.faults.filter((other) => other.row === fault.row && other.from > fault.from).map((other) => other.from);
    const next = x(Math.min(...after, state.to));
    const inside = x2 - x1 >= fault.text.length * 6.7 + 8 || x2 - x1 >= next - x2;
    label(fault.text, inside ? x1 : x2, inside ? x2 : next, layout.faults + fault.row * 17 + 11, inside ? "fault" : "after");
    for (const struck of fault.nodes) {
      if (layout.nodes[struck] === undefined) continue;
      const height = isClient(struck) ? 28 : 44;
      out.push(`<rect class="fault-shade" x="${x1}" y="${layout.nodes[struck]}" width="${x2 - x1}" height="${height}"/>`);
    }
  });
  run.eras.forEach((era, index) => {
    if (!visible(era.from, era.to)) return;
    const active = era.active ?? era.to;
    const odd = index % 2 ? " odd" : "";
    const [start] = bar("era", index, "era waits", era.from, active, layout.eras, 22);
    const [, end] = era.active === null ? [0, x(era.to)] : bar("era", index, "era" + odd, active, era.to, layout.eras, 22);
    label(era.text, start, end, layout.eras + 15, "era");
  });
}

function drawProcesses(out, visible, bar, label) {
  run.lanes.forEach((lane, place) => {
    const y = barY(lane.node);
    const labels = [];
    lane.states.forEach((span, index) => {
      if (!visible(span.from, span.to)) return;
      const [x1, x2] = bar("state", place * 1e5 + index, `r-${span.colour}`, span.from, span.to, y, BAR.process);
      labels.push([span.text, x1, x2, y + 16, span.colour]);
    });
    lane.besides.forEach((span, index) => {
      if (!visible(span.from, span.to)) return;
      const paused = span.state === "paused";
      bar("beside", place * 1e5 + index, `b-${span.colour}`, span.from, span.to, paused ? y : y + BAR.process + 2, paused ? BAR.process : 5);
    });
    labels.forEach((each) => label(...each));
  });
}

function drawOperations(out, visible, bar, label, x) {
  const chosen = state.key === null ? null : run.keys[state.key].name;
  run.operations.forEach((operation, index) => {
    const to = operation.to ?? run.end;
    if (!visible(operation.from, to)) return;
    const other = chosen !== null && operation.key !== chosen && !operation.part ? " other" : "";
    const style = `op ${operation.end} ${operation.part ?? ""}${other}`;
    const y = barY(operation.client);
    const [x1, x2] = bar("operation", index, style, operation.from, to, y, BAR.client, operation.part ? 7 : 2.5);
    const kind = operation.part === "against" ? "against" : operation.end;
    const result = operation.reads && operation.end === "ok" ? ` → ${operation.result}` : "";
    const text = operation.text + result;
    if (operation.part && x2 - x1 < text.length * 6.7 + 8) beside(text, x1, x2, y + 14);
    else label(text, x1, x2, y + 14, kind);
  });
  if (chosen === null) return;
  for (const [index, at] of run.keys[state.key].order) {
    if (at < state.from || at > state.to) continue;
    const y = barY(run.operations[index].client) + BAR.client / 2;
    const place = x(at);
    out.push(`<path class="dot" d="M${place - 3.5} ${y}l3.5 -3.5l3.5 3.5l-3.5 3.5z"/>`);
  }
}

/** What contradicts is named even if its bar has no room: beside it, where there is some. */
function beside(text, x1, x2, y) {
  const room = (printing ? PRINTED : chart.clientWidth) - 8 - x2 > text.length * 6.7 + 10;
  notes.push(`<text class="t-beside" x="${(room ? x2 + 5 : x1 - 10).toFixed(1)}" y="${y}" text-anchor="${room ? "start" : "end"}">${escapeText(text)}</text>`);
}

/** A client's message is seen at the process only; the other end is a latency away. */
function times(message) {
  const [from, to, kind, sent, received] = message;
  if (kind !== CLIENT) return [sent, received || sent];
  const latency = run.latency;
  return isClient(from) ? [sent - latency, received || sent] : [sent, sent + latency * (isClient(to) ? 1 : 0)];
}

function drawMessages(out, x) {
  const shown = [];
  let all = 0;
  run.messages.forEach((message, index) => {
    const [from, to, kind] = message;
    const group = kind === CLIENT ? (run.asides[from] ?? run.asides[to] ?? kind) : kind;
    if (!state.messages[group] || layout.nodes[from] === undefined || layout.nodes[to] === undefined) return;
    const [sent, received] = times(message);
    if (received < state.from || sent > state.to) return;
    all += 1;
    shown.push([index, sent, received]);
  });
  const few = shown.length <= MESSAGES_DRAWN_MAX;
  const drawn = few ? shown : shown.filter(([index]) => run.messages[index][5]).slice(0, MESSAGES_DRAWN_MAX);
  for (const [index, sent, received] of drawn) {
    const [from, to, kind, , , lost] = run.messages[index];
    const y1 = gate(from, to);
    const y2 = gate(to, from);
    const x1 = x(sent);
    const picked = state.picked && state.picked.kind === "message" && state.picked.index === index ? " picked" : "";
    if (lost) {
      const x2 = x1 + 10;
      const y = y1 + (y2 - y1) * 0.35;
      out.push(`<path class="m m${kind} lost${picked}" data-kind="message" data-index="${index}" d="M${x1.toFixed(1)} ${y1}L${x2.toFixed(1)} ${y.toFixed(1)}"/>`);
      out.push(`<path class="cross" d="M${(x2 - 3).toFixed(1)} ${(y - 3).toFixed(1)}l6 6m0 -6l-6 6"/>`);
    } else {
      out.push(`<path class="m m${kind}${picked}" data-kind="message" data-index="${index}" marker-end="url(#head-${kind})" d="M${x1.toFixed(1)} ${y1}L${x(received).toFixed(1)} ${y2}"/>`);
    }
  }
  if (!few) return `${all} messages here: zoom in to see them; ${drawn.length} lost ones are shown`;
  return all ? `${all} messages shown` + (run.messages_cut ? " (later ones were not kept)" : "") : "";
}

/** Numbers on the contradicting operations, and a line through them. */
function drawContradiction(out, x) {
  if (!run.contradiction) return;
  const points = [];
  evidence().forEach(([index, part], place) => {
    const operation = run.operations[index];
    const at = x(operation.from);
    const y = barY(operation.client);
    if (part === "against") points.push(`${at.toFixed(1)} ${y + BAR.client / 2}`);
    const colour = part === "against" ? "--bad" : "--support";
    const ink = part === "against" ? "--on-bad" : "--paper";
    out.push(`<circle cx="${at}" cy="${y - 1}" r="7.5" fill="var(${colour})" stroke="var(--paper)"/><text x="${at}" y="${y + 3}" text-anchor="middle" style="fill:var(${ink});font-weight:700">${place + 1}</text>`);
  });
  if (points.length > 1) out.unshift(`<path class="link" d="M${points.join("L")}"/>`);
}

function drawKey(out, x, visible, bar, label) {
  if (state.key === null) return;
  const key = run.keys[state.key];
  const last = key.until ?? run.end;
  const changes = [[-1, 0, key.initially], ...key.order].filter(([, , value], place, all) => place === 0 || value !== all[place - 1][2]);
  changes.forEach(([, at, value], place) => {
    const to = place + 1 < changes.length ? changes[place + 1][1] : last;
    if (!visible(at, to)) return;
    const [x1, x2] = bar("value", place, place % 2 ? "value odd" : "value", at, Math.max(to, at), layout.key + 2, 22);
    label(value, x1, x2, layout.key + 17, "value");
  });
  if (key.until !== null && visible(key.until, run.end)) {
    const [x1, x2] = bar("noorder", 0, "noorder", key.until, run.end, layout.key + 2, 22, 4);
    label("no order explains what follows", x1, x2, layout.key + 17, "unknown");
  }
}

function drawMarks(out, x, right) {
  const line = (at, style) => `<line class="${style}" x1="${x(at).toFixed(1)}" x2="${x(at).toFixed(1)}" y1="20" y2="${layout.height}"/>`;
  if (run.healed !== null) out.push(line(run.healed, "healed"));
  if (run.failed !== null) {
    out.push(line(run.failed, "failed"));
    const end = x(run.failed) > right - 120;
    out.push(`<text class="failed-text" x="${x(run.failed) + (end ? -5 : 5)}" y="${layout.height - 3}" text-anchor="${end ? "end" : "start"}">failure ${seconds(run.failed)} s</text>`);
  }
  const at = x(state.cursor);
  out.push(`${line(state.cursor, "cursor")}<path class="cursor-head" d="M${at - 5} 19h10l-5 7z"/>`);
}

function drawLabels(out, width) {
  const rows = [`<rect class="labels" x="0" y="0" width="${LABELS}" height="${layout.height}"/><line class="rule" x1="${LABELS}" x2="${LABELS}" y1="0" y2="${layout.height}"/>`];
  const name = (text, y, style) => rows.push(`<text class="${style}" x="10" y="${y}">${escapeText(text)}</text>`);
  if (faultRows) name("faults", layout.faults + 11, "group");
  if (run.era_words) name(run.era_words.title, layout.eras + 15, "group");
  run.nodes.forEach((text, index) => {
    if (layout.nodes[index] !== undefined) name(text, barY(index) + (isClient(index) ? 14 : 16), "name");
  });
  if (state.key !== null) {
    const key = run.keys[state.key].name;
    name(key.length > 13 ? key.slice(0, 12) + "…" : key, layout.key + 17, "name");
  }
  out.push(`${rows.join("")}`);
}

const overview = byId("overview");
function drawOverview() {
  const width = overview.clientWidth || 1200;
  const x = (at) => LABELS + (Math.min(Math.max(at, 0), run.end) / run.end) * (width - LABELS - 8);
  const out = [];
  run.eras.forEach((era, index) => out.push(`<rect class="era${index % 2 ? " odd" : ""}" x="${x(era.from)}" y="4" width="${Math.max(x(era.to) - x(era.from), 1)}" height="8"/>`));
  run.faults.forEach((fault) => out.push(`<rect class="fault" x="${x(fault.from)}" y="14" width="${Math.max(x(fault.to) - x(fault.from), 1.5)}" height="5"/>`));
  run.operations.forEach((operation) => {
    const y = 23 + ((operation.client - run.processes) % 6) * 3;
    out.push(`<rect class="op ${operation.end}" x="${x(operation.from)}" y="${y}" width="${Math.max(x(operation.to ?? run.end) - x(operation.from), 1)}" height="2"/>`);
  });
  if (run.failed !== null) out.push(`<line class="failed" x1="${x(run.failed)}" x2="${x(run.failed)}" y1="0" y2="44"/>`);
  out.push(`<rect class="window" x="${x(state.from)}" y="1" width="${Math.max(x(state.to) - x(state.from), 3)}" height="42" rx="3"/>`);
  out.push(`<text class="group" x="10" y="17">whole run</text><text class="tick" x="10" y="33">${seconds(run.end)} s</text>`);
  overview.innerHTML = `<defs>${PATTERNS.replaceAll('id="', 'id="o-')}</defs>${out.join("")}`;
}
