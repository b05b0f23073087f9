// Everything around the picture: sentences, evidence, events, details, order of effects; and the mouse.

const EVENTS_AROUND = 7;

/** The contradicting operations, then those that may have written what they saw; each by time. */
function evidence() {
  if (!run.contradiction) return [];
  const byTime = (a, b) => run.operations[a].from - run.operations[b].from;
  const against = [...run.contradiction.operations].sort(byTime);
  const support = run.contradiction.support.filter((index) => !against.includes(index)).sort(byTime);
  return [...against.map((index) => [index, "against"]), ...support.map((index) => [index, "support"])];
}

function describe(kind, index) {
  if (kind === "operation") {
    const operation = run.operations[index];
    const ended = operation.to === null ? "never ended" : `${seconds(operation.to, 1)} s (${span(operation.to - operation.from)})`;
    return [
      `${node(operation.client)}: ${operation.text}`,
      operation.result,
      `called ${seconds(operation.from, 1)} s, ended ${ended}`,
      operation.by ?? "",
      operation.part === "against" ? "one of the operations that contradict each other" : "",
      operation.part === "support" ? "may have written what those saw" : "",
    ];
  }
  if (kind === "message") {
    const [from, to, conversation, sent, received, lost, text] = run.messages[index];
    const client = conversation === CLIENT;
    const fate = lost ? "never arrived" : received ? `arrived ${seconds(received, 1)} s, ${span(received - sent)} later` : "";
    return [`${node(from)} → ${node(to)}`, run.texts[text], `${client && isClient(from) ? "reached the server's door" : "sent"} ${seconds(sent, 1)} s`, fate];
  }
  if (kind === "fault") {
    const fault = run.faults[index];
    return [`fault ${fault.fault}: ${fault.kind}`, fault.text, during(fault)];
  }
  if (kind === "era") {
    const era = run.eras[index];
    const active = era.active === null ? run.era_words.never : `${run.era_words.in_force} since ${seconds(era.active, 1)} s`;
    return [...era.details, era.why ?? "", active, during(era)];
  }
  if (kind === "state" || kind === "beside") {
    const lane = run.lanes[Math.floor(index / 1e5)];
    const spans = kind === "state" ? lane.states : lane.besides;
    return [`${node(lane.node)}: ${spans[index % 1e5].text}`, during(spans[index % 1e5])];
  }
  if (kind === "noorder") return ["No order of the operations on this key explains what follows."];
  return [];
}

const during = (span_) => `${seconds(span_.from, 1)} s to ${seconds(span_.to, 1)} s (${span(span_.to - span_.from)})`;

function pick(what) {
  state.picked = what;
  const lines = what ? describe(what.kind, what.index) : ["Hover over anything in the picture, or click it to keep its details here."];
  byId("details").textContent = lines.filter(Boolean).join("\n");
  redraw();
}

function showMoments() {
  byId("now").textContent = seconds(state.cursor, 1) + " s";
  const at = current >= 0 && run.moments[current][0] === state.cursor ? current : momentAt(state.cursor);
  const first = Math.max(Math.min(at - EVENTS_AROUND, run.moments.length - 2 * EVENTS_AROUND - 1), 0);
  const rows = run.moments.slice(first, first + 2 * EVENTS_AROUND + 1).map(([time, where, text], offset) => {
    const mark = first + offset === at && time === state.cursor ? ' class="current" aria-current="true"' : "";
    return `<li${mark} data-moment="${first + offset}"><span>${seconds(time, 1)}</span><span>${escapeText(node(where))}</span><span>${escapeText(text)}</span></li>`;
  });
  byId("events").innerHTML = rows.join("");
}

function showOrder() {
  if (state.key === null) return;
  const key = run.keys[state.key];
  byId("order-title").textContent = `Order in which operations on ${key.name} took effect` + (key.until === null ? "" : `: the longest there is, up to ${seconds(key.until)} s`);
  const row = (index, value, style) => {
    const operation = run.operations[index];
    return `<tr class="${style}" data-operation="${index}"><td>${seconds(operation.from)} s</td><td>${escapeText(node(operation.client))}</td><td>${escapeText(operation.text)}</td><td>${escapeText(operation.result)}</td><td>${escapeText(value)}</td></tr>`;
  };
  const rows = key.order.map(([index, , value]) => row(index, value, ""));
  const placed = new Set(key.order.map(([index]) => index));
  const refused = evidence().filter(([index, part]) => part === "against" && !placed.has(index) && run.operations[index].key === key.name);
  rows.push(...refused.map(([index]) => row(index, "", "refused")));
  if (rows.length === 0) {
    byId("order").textContent = "No operation on it is known to have taken effect.";
    return;
  }
  byId("order").innerHTML = `<table><thead><tr><th>Called</th><th>Client</th><th>Operation</th><th>Result</th><th>Value afterwards</th></tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

function focusOperation(index) {
  const operation = run.operations[index];
  moveTo(operation.to ?? operation.from);
  pick({ kind: "operation", index });
}

function toggleMessages() {
  const any = state.messages.some(Boolean);
  state.messages = state.messages.map(() => !any);
  showFilters();
  redraw();
}

function showFilters() {
  const kinds = [...run.conversations.keys()].filter((kind) => kind !== CLIENT);
  const boxes = [...kinds, CLIENT].map((kind) => `<label><input type="checkbox" data-kind="${kind}"${state.messages[kind] ? " checked" : ""}><span class="swatch" style="background:var(--m${kind})"></span>${run.conversations[kind].name}</label>`);
  byId("filters").innerHTML = "<legend>Messages</legend>" + boxes.join("");
}

function showTexts() {
  byId("title").textContent = run.title;
  byId("about").textContent = run.about;
  byId("badge").textContent = run.class === "ok" ? "✓ all well" : "✗ " + run.class;
  byId("badge").classList.toggle("ok", run.class === "ok");
  byId("what").classList.toggle("ok", run.class === "ok");
  byId("sentences").innerHTML = run.explanation.map((sentence) => `<p>${escapeText(sentence)}</p>`).join("");
  byId("evidence").innerHTML = evidence().map(([index, part], place) => {
    const operation = run.operations[index];
    const until = operation.to === null ? "open" : seconds(operation.to);
    return `<li><button type="button" data-operation="${index}"><span class="number ${part}">${place + 1}</span><span>${seconds(operation.from)} to ${until} s</span><span>${escapeText(node(operation.client))}</span><span>${escapeText(`${operation.text} → ${operation.result}${operation.by ? "; " + operation.by : ""}`)}</span></button></li>`;
  }).join("");
  byId("evidence").scrollTop = byId("evidence").scrollHeight; // The last ones are nearest to the failure.
  byId("facts").innerHTML = run.facts.map(([name, value]) => `<div><dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd></div>`).join("");
  byId("plan").textContent = run.plan;
  byId("violation").disabled = run.failed === null;
  const eras = run.era_words ? [["era waits", run.era_words.legend]] : [];
  const legend = [...run.states, ["r-down", "down"], ["b-paused", "stands still"], ...run.activities, ...eras, ["op ok", "answered"], ["op unknown", "fate unknown"], ["op not", "not executed"], ["op against", "contradicts"], ["op ok support", "may have written it"], ["fault", "fault"]];
  byId("legend").innerHTML = legend.map(([style, text]) => `<span><svg viewBox="0 0 22 12" aria-hidden="true"><rect class="${style}" x="1" y="1" width="20" height="10" rx="2"/></svg>${text}</span>`).join("") + `<span><svg viewBox="0 0 22 12" aria-hidden="true"><path class="dot" d="M6 6l5 -5l5 5l-5 5z"/></svg>took effect</span><span><svg viewBox="0 0 22 12" aria-hidden="true"><path class="cross" d="M8 3l6 6m0 -6l-6 6"/></svg>message lost</span>`;
}

function showKeys() {
  const order = run.keys.map((key, index) => index).sort((a, b) => run.keys[b].operations - run.keys[a].operations);
  byId("key").innerHTML = order.map((index) => `<option value="${index}">${escapeText(run.keys[index].name)} (${run.keys[index].operations})</option>`).join("");
  const bad = run.contradiction ? run.keys.findIndex((key) => key.name === run.contradiction.key) : -1;
  state.key = bad >= 0 ? bad : order.length ? order[0] : null;
  byId("key").value = String(state.key);
}

/** The thing of the picture at a mouse event. */
const thing = (event) => event.target.closest("[data-kind][data-index]");
const timeAt = (event, svg = chart) => state.from + ((event.clientX - svg.getBoundingClientRect().left - LABELS) / (svg.clientWidth - LABELS - 8)) * (state.to - state.from);

let drag = null;
chart.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  drag = { x: event.clientX, from: state.from, to: state.to, moved: false, on: thing(event) };
  chart.setPointerCapture(event.pointerId);
});
chart.addEventListener("pointermove", (event) => {
  if (drag) {
    const by = ((event.clientX - drag.x) / (chart.clientWidth - LABELS - 8)) * (drag.to - drag.from);
    drag.moved ||= Math.abs(event.clientX - drag.x) > 3;
    if (drag.moved) {
      chart.classList.add("dragging");
      show(drag.from - by, drag.to - by);
    }
    return;
  }
  const tip = byId("tip");
  const found = thing(event);
  const lines = found ? describe(found.dataset.kind, Number(found.dataset.index)).filter(Boolean) : [];
  tip.hidden = lines.length === 0;
  if (tip.hidden) return;
  tip.textContent = lines.join("\n");
  tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
  tip.style.top = Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8) + "px";
});
chart.addEventListener("pointerup", (event) => {
  if (drag && !drag.moved) {
    moveTo(timeAt(event));
    pick(drag.on ? { kind: drag.on.dataset.kind, index: Number(drag.on.dataset.index) } : null);
  }
  drag = null;
  chart.classList.remove("dragging");
});
chart.addEventListener("pointerleave", () => (byId("tip").hidden = true));
chart.addEventListener("wheel", (event) => {
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  if (event.ctrlKey || event.metaKey) zoom(Math.exp(event.deltaY / 400), timeAt(event));
  else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) pan(sideways / 1500);
  else return;
  event.preventDefault();
}, { passive: false });

let brush = null;
const overviewTime = (event) => ((event.clientX - overview.getBoundingClientRect().left - LABELS) / (overview.clientWidth - LABELS - 8)) * run.end;
overview.addEventListener("pointerdown", (event) => {
  brush = overviewTime(event);
  overview.setPointerCapture(event.pointerId);
});
overview.addEventListener("pointermove", (event) => {
  if (brush === null) return;
  const at = overviewTime(event);
  if (Math.abs(at - brush) > run.end / 300) show(Math.min(at, brush), Math.max(at, brush));
});
overview.addEventListener("pointerup", (event) => {
  const half = (state.to - state.from) / 2;
  const at = overviewTime(event);
  if (brush !== null && Math.abs(at - brush) <= run.end / 300) show(at - half, at + half);
  brush = null;
});

document.addEventListener("click", (event) => {
  const operation = event.target.closest("[data-operation]");
  if (operation) focusOperation(Number(operation.dataset.operation));
  const moment = event.target.closest("[data-moment]");
  if (moment) stepTo(Number(moment.dataset.moment));
});
byId("filters").addEventListener("change", (event) => {
  state.messages[Number(event.target.dataset.kind)] = event.target.checked;
  redraw();
});
byId("key").addEventListener("change", (event) => {
  state.key = Number(event.target.value);
  showOrder();
  redraw();
});
for (const [id, action] of [["previous", () => step(-1)], ["next", () => step(1)], ["violation", jumpToFailure], ["in", () => zoom(0.6, state.cursor)], ["out", () => zoom(1 / 0.6)], ["all", () => show(0, run.end * 1.03)]]) byId(id).addEventListener("click", action);

showTexts();
showKeys();
showOrder();
showFilters();
pick(null);
if (!followAddress()) show(state.from, state.to);
drawChart();
drawOverview();
showMoments();
document.documentElement.dataset.ready = "true";
