// ---- strip: one line per model over the slices ------------------------------------------------------------
// One value from Python (strip_value()); afterwards slices and jumps are told to the viewer through link.js.

const root = element.querySelector(".ls");
const find = (selector) => root.querySelector(selector);
const ui = {
  head: find(".ls-head"), body: find(".ls-body"), names: find(".ls-names"), plot: find(".ls-plot"), canvas: find("canvas"),
  figures: find(".ls-figures"), readout: find(".ls-readout"), gap: find(".ls-gap"), empty: find(".ls-empty"),
  labels: [...root.querySelectorAll("[data-label]")], jumps: [...root.querySelectorAll("[data-jump]")],
};
const pen = ui.canvas.getContext("2d");
const state = { value: null, k: 0, label: "tumour", chosen: null, hover: null, lesion: 0, width: 0 };

const link = createLink({
  key: () => state.value?.key ?? null,
  hear({ k }) {
    if (k === undefined || k === state.k) return;
    state.k = k;
    state.lesion = 0;
    redraw();
  },
});

let theme = null;
function readTheme() {
  const style = getComputedStyle(root);
  const named = (name) => style.getPropertyValue(name).trim();
  const colours = {};
  for (const name of ["row", "chosen", "shadow", "muted", "cursor", "hover", "alarm", "lesion", "liver", "tumour"]) {
    colours[name] = named(`--ls-${name}`);
  }
  return { colours, font: style.fontFamily, pattern: hatching(pen, colours.alarm) };
}

const chosenRow = () => state.value?.rows.find((row) => row.id === state.chosen) ?? null;
const profileOf = (row) => row?.profiles[state.label] ?? null;

// -- what can be done

function goTo(k, at) {
  const next = Math.max(0, Math.min(state.value.depth - 1, k));
  if (next !== state.k || at) {
    state.k = next;
    link.tell({ k: next, at });
  }
  redraw();
}

function jump(where) {
  if (!state.value?.has_reference) return;
  const profile = profileOf(chosenRow());
  if (where === "worst" && profile && profile.worst !== null) goTo(profile.worst);
  if (where === "error" && profile?.errors.length) goTo(profile.errors.find((k) => k > state.k) ?? profile.errors[0]);
  if (where === "lesion") jumpToLesion();
}

// Lesions that are largest in the same slice come one after the other.
function jumpToLesion() {
  const ordered = [...state.value.lesions].sort((a, b) => a.slice - b.slice || a.number - b.number);
  if (!ordered.length) return;
  const after = ({ slice, number }) => slice > state.k || (slice === state.k && number > state.lesion);
  const next = ordered.find(after) ?? ordered[0];
  goTo(next.slice, { x: next.x, y: next.y });
  state.lesion = next.number;
  redraw();
}

function choose(id) {
  state.chosen = id;
  showRows();
  redraw();
}

function chooseLabel(label) {
  state.label = label;
  showRows();
  redraw();
}

// -- rows, figures and the sentence on their gap

const figure = (value) => (value === null ? "n/a" : value.toFixed(3));

function makeNode(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function showRows() {
  const { value, label } = state;
  if (!value) return;
  const names = value.rows.map((row) => {
    const button = makeNode("button", "ls-name", row.title);
    button.type = "button";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-checked", String(row.id === state.chosen));
    button.tabIndex = row.id === state.chosen ? 0 : -1;
    button.dataset.kind = row.kind;
    button.title = row.title;
    button.addEventListener("click", () => choose(row.id));
    return button;
  });
  ui.names.replaceChildren(...names);
  const head = makeNode("div", "ls-columns");
  head.append(
    withTitle(makeNode("span", "", "3D"), "Pooled Dice: all voxels of the volume at once. Large slices decide it."),
    withTitle(makeNode("span", "", "mean"), "Mean of the slices' Dice: every slice that has a pixel counts as much as the largest."));
  const figures = value.rows.map((row) => {
    const profile = profileOf(row);
    const line = withTitle(makeNode("div", "ls-pair"), profile?.gap ?? `${row.title} knows no ${label}.`);
    line.append(makeNode("b", "", profile ? figure(profile.pooled) : "–"), makeNode("span", "", profile ? figure(profile.mean) : "–"));
    return line;
  });
  ui.figures.replaceChildren(head, ...figures);
  const row = chosenRow();
  const profile = profileOf(row);
  ui.gap.textContent = row ? `${row.title}, ${label}: ${profile ? profile.gap : `it knows no ${label}.`}` : "";
  for (const button of ui.labels) button.setAttribute("aria-pressed", String(button.dataset.label === label));
  for (const button of ui.jumps) {
    const needs = button.dataset.jump === "lesion" ? value.lesions.length : profile?.errors.length;
    button.disabled = !needs;
  }
  ui.canvas.style.height = `${LEAD + value.rows.length * ROW + FOOT}px`;
  resize();
}

function withTitle(node, title) {
  node.title = title;
  return node;
}

const number = (area) => (area >= 1000 ? Math.round(area) : area.toFixed(area < 10 ? 1 : 0));

function readoutText(k) {
  const { value, label } = state;
  const where = value.spacing_mm ? `, ${(k * value.spacing_mm).toFixed(1)} mm` : "";
  const parts = [`slice ${k + 1} of ${value.depth}${where}`, `reference ${number(value.reference[label][k])} ${value.unit}`];
  for (const row of value.rows) {
    const profile = profileOf(row);
    if (!profile) continue;
    const dice = profile.dice[k] === null ? "nothing to score" : profile.alarm[k] > 0 ? "false alarm" : profile.dice[k].toFixed(2);
    parts.push(`${row.title} ${dice}`);
  }
  const lesions = value.lesions.filter((lesion) => lesion.slice === k).map((lesion) => lesion.text);
  return [...parts, ...lesions].join("  ·  ");
}

// -- one frame

let frame = 0;
function redraw() {
  if (!frame) frame = requestAnimationFrame(draw);
}

function draw() {
  frame = 0;
  const { value, k, hover, label, width } = state;
  if (!value) return;
  root.dataset.slice = String(k);
  root.dataset.label = label;
  root.dataset.chosen = state.chosen ?? "";
  const text = value.has_reference ? readoutText(hover ?? k) : "";
  ui.readout.textContent = text;
  ui.canvas.setAttribute("aria-valuemax", String(value.depth));
  ui.canvas.setAttribute("aria-valuenow", String(k + 1));
  ui.canvas.setAttribute("aria-valuetext", text);
  if (!width || !value.has_reference) return;
  theme ??= readTheme();
  const colours = { ...theme.colours, line: theme.colours[label] };
  const height = LEAD + value.rows.length * ROW + FOOT;
  const density = globalThis.devicePixelRatio || 1;
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, width, height);
  const { depth } = value;
  value.rows.forEach((row, i) => drawRow(pen, {
    profile: profileOf(row), reference: value.reference[label], depth, width, top: LEAD + i * ROW, colours,
    pattern: theme.pattern, chosen: row.id === state.chosen,
  }));
  drawLesions(pen, { lesions: value.lesions, depth, width, colours, k });
  drawAxis(pen, { depth, width, bottom: height - 1, colours, font: theme.font });
  drawCursor(pen, { k, hover, depth, width, height, colours });
  root.dataset.ready = "1";
}

function resize() {
  const { width, height } = ui.canvas.getBoundingClientRect();
  const density = globalThis.devicePixelRatio || 1;
  state.width = width;
  if (width) {
    ui.canvas.width = Math.round(width * density);
    ui.canvas.height = Math.round(height * density);
  }
  redraw();
}

// -- a new value from Python

function load() {
  const value = props.value ? JSON.parse(JSON.stringify(props.value)) : null;
  const sameCase = value !== null && state.value?.key === value.key;
  state.value = value;
  const lines = value?.rows.length ?? 0;
  const drawn = Boolean(value?.has_reference && lines);
  ui.head.hidden = ui.body.hidden = ui.readout.hidden = ui.gap.hidden = !drawn;
  ui.empty.hidden = drawn;
  ui.empty.textContent = !value ? "" : value.has_reference
    ? "The slice strip stands here once a model has run: its Dice in every slice, and where it goes wrong."
    : "This case has no reference, so nothing can be scored slice by slice.";
  root.dataset.ready = drawn ? "0" : "empty";
  root.dataset.rows = value?.rows.map((row) => row.id).join(" ") ?? "";
  if (!value) return;
  if (!sameCase) Object.assign(state, { label: value.label, hover: null, lesion: 0, chosen: null });
  if (!chosenRow()) state.chosen = value.rows[0]?.id ?? null;
  showRows();
  link.ask();
}

// -- start and end

function listen() {
  const at = (event) => sliceAt(event.clientX - ui.canvas.getBoundingClientRect().left, state.value.depth, state.width);
  const rowAt = (event) => Math.floor((event.clientY - ui.canvas.getBoundingClientRect().top - LEAD) / ROW);
  ui.canvas.addEventListener("pointerdown", (event) => {
    if (!state.value || event.button !== 0) return;
    ui.canvas.setPointerCapture(event.pointerId);
    const row = state.value.rows[rowAt(event)];
    if (row) choose(row.id);
    goTo(at(event));
  });
  ui.canvas.addEventListener("pointermove", (event) => {
    if (!state.value) return;
    if (event.buttons & 1) goTo(at(event));
    state.hover = event.pointerType === "touch" ? null : at(event);
    redraw();
  });
  ui.canvas.addEventListener("pointerleave", () => {
    state.hover = null;
    redraw();
  });
  ui.canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    if (!state.value || !(event.key in steps)) return;
    event.preventDefault();
    goTo(state.k + steps[event.key]);
  });
  ui.names.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const rows = state.value.rows;
    const index = rows.findIndex((row) => row.id === state.chosen);
    choose(rows[(index + step + rows.length) % rows.length].id);
    ui.names.querySelector('[aria-checked="true"]').focus();
  });
  for (const button of ui.labels) button.addEventListener("click", () => chooseLabel(button.dataset.label));
  for (const button of ui.jumps) button.addEventListener("click", () => jump(button.dataset.jump));
}

// W, N and J work wherever the focus is in the place of the wall, but for fields that take letters.
const JUMP_KEYS = { w: "worst", n: "error", j: "lesion" };
function onKey(event) {
  if (!element.isConnected) return dispose();
  if (event.ctrlKey || event.metaKey || event.altKey || !root.getClientRects().length) return;
  if (event.target.matches?.('input:not([type="range"]):not([type="checkbox"]):not([type="radio"]), textarea, select')) return;
  const where = JUMP_KEYS[event.key.toLowerCase()];
  if (where) jump(where);
}

const sizes = new ResizeObserver(() => (element.isConnected ? resize() : dispose()));
const themes = new MutationObserver(() => {
  theme = null;
  redraw();
});

function dispose() {
  link.close();
  sizes.disconnect();
  themes.disconnect();
  document.removeEventListener("keydown", onKey);
  cancelAnimationFrame(frame);
}

listen();
document.addEventListener("keydown", onKey);
sizes.observe(ui.plot);
themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
watch("value", load);
load();
