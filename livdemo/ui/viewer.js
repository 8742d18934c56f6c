// ---- viewer: state, what can be done to it, and one frame ---------------------------------------------------
// gr.HTML evaluates the viewer's files as one function of (element, trigger, props, watch): nothing here is
// global, and several viewers on a page know nothing of each other. viewer.py lists the files.
//
// One value from Python describes everything (viewer_value()). A step through the slices changes `state`,
// marks what has to be drawn again, and is drawn in the next animation frame without asking the server.

const QUIET_MS = 150;  // the server hears of a slice or window after this long without a further change
const MAX_ZOOM = 24;
const TIGHT = 250;  // a pane narrower than this has its Dice in two lines
const NARROW = 560;  // CSS pixels: below, viewer.css shows the tabs
const LABEL_NAMES = ["background", "liver", "tumour"];
const HINT = matchMedia("(any-pointer: coarse)").matches
  ? "swipe: slices  ·  tap: value  ·  pinch: zoom"
  : "wheel: slices  ·  drag: window  ·  H: keys";
const MODES = ["contour", "fill", "errors"];

const root = element.querySelector(".lv");
const find = (selector) => root.querySelector(selector);
const findAll = (selector) => [...root.querySelectorAll(selector)];
const ui = {
  stage: find(".lv-stage"), grid: find(".lv-grid"), tabs: find(".lv-tabs"), tools: find(".lv-tools"),
  message: find(".lv-message"), messageText: find(".lv-message-text"), retry: find(".lv-retry"),
  loading: find(".lv-loading"), slider: find(".lv-slider"), position: find(".lv-position"),
  cursor: find(".lv-cursor"), windowText: find(".lv-window-text"), help: find(".lv-help"),
  keys: find(".lv-keys"), width: find(".lv-width"), center: find(".lv-center"), live: find(".lv-live"),
  presets: findAll(".lv-presets button"), modes: findAll(".lv-modes button"),
  labels: findAll(".lv-labels button"), opacity: find(".lv-opacity input"), legend: find(".lv-legend"),
  histogram: find(".lv-histogram"), fold: find(".lv-fold"), touch: find(".lv-touch"), reset: find(".lv-reset"),
  gap: find(".lv-gap"),
};

const state = {
  value: null, volume: null, shape: [0, 0, 0], spacing: null, panes: [], reference: null,
  k: 0, window: { center: 40, width: 400 }, view: { zoom: 1, x: 0.5, y: 0.5 },
  overlay: { mode: "contour", opacity: 0.35, liver: true, tumour: true, witness: false },
  enlarged: null, point: null, place: null, size: { width: 0, height: 0, density: 1 },
};
const dirty = { slice: true, window: true, view: true };
const greys = createGreys();
const library = createLibrary();
const colours = readColours();
let paints = null;      // of the colours at the present opacity
let greyPixels = null;  // of a pane without overlay
let picture = null;     // ImageData of one pane, used for each in turn

function readColours() {
  const style = getComputedStyle(root);
  const named = (name) => style.getPropertyValue(name).trim();
  return {
    liver: named("--lv-liver"), tumour: named("--lv-tumour"), truePositive: named("--lv-tp"),
    falsePositive: named("--lv-fp"), falseNegative: named("--lv-fn"),
  };
}

let theme = null;  // colours of the controls; read again when the page turns light or dark
function readTheme() {
  const style = getComputedStyle(ui.tools);
  const named = (name) => style.getPropertyValue(name).trim();
  return {
    text: named("--lv-text"), muted: named("--lv-muted"), line: named("--lv-line"), accent: named("--lv-accent"),
    band: named("--lv-band"), bar: named("--lv-accent"), barOutside: named("--lv-bar"), font: style.fontFamily,
  };
}

const histogram = createHistogram(find(".lv-plot canvas"), {
  getWindow: () => state.window,
  onWindow: setWindow,
  hasTissues: () => state.value?.unit === "HU",
  theme: () => theme ??= readTheme(),
});

// -- telling Python and screen readers, once things are quiet

function quietly(milliseconds, action) {
  let timer = 0;
  const call = () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}

const isVisible = () => root.getClientRects().length > 0;
// A viewer in a tab that is not open follows the others, but the server hears of it only once it is seen.
const tellSlice = quietly(QUIET_MS, () => {
  state.untold = !isVisible();
  if (!state.untold) trigger('slice', { k: state.k });
});
const tellWindow = quietly(QUIET_MS, () => trigger('window', { ...state.window }));
const announce = quietly(400, () => {
  ui.live.textContent = positionText();
});

const link = createLink({
  key: () => (state.value?.linked ? state.value.volume.key : null),
  hear({ k, window, at, witness, reveal }) {
    if (window) setWindow(window, false);
    if (k !== undefined) goTo(k, false);
    if (witness) setOverlay({ witness: true, [witness]: true });
    if (at) pointAt(at);
    if (reveal && isVisible()) root.scrollIntoView({ block: "nearest" });
  },
  answer: () => (state.volume ? { k: state.k, window: state.window } : null),
});

// -- what can be done

function goTo(k, tells = true) {
  const next = Math.max(0, Math.min(state.shape[0] - 1, Math.round(k)));
  if (!state.volume || next === state.k || Number.isNaN(next)) return;
  state.k = next;
  state.moved = true;
  if (tells) link.tell({ k: next });
  redraw("slice");
  tellSlice();
  announce();
}

function setWindow({ center, width }, tells = true) {
  if (!Number.isFinite(center) || !Number.isFinite(width)) return;
  const next = {
    center: Math.round(Math.max(HU_MIN, Math.min(HU_MAX, center))),
    width: Math.round(Math.max(1, Math.min(HU_MAX - HU_MIN + 1, width))),
  };
  if (next.center === state.window.center && next.width === state.window.width) return;
  state.window = next;
  if (tells) link.tell({ window: next });
  redraw("window");
  tellWindow();
}

// Fine in a narrow window, coarse in a wide one. Rounding must not swallow slow drags: the rest is kept.
const dragged = { center: 0, width: 0 };
function dragWindow(wider, higher) {
  const perPixel = Math.max(0.5, state.window.width / 250);
  dragged.width += wider * perPixel;
  dragged.center += higher * perPixel;
  const { center, width } = state.window;
  const change = { center: Math.trunc(dragged.center), width: Math.trunc(dragged.width) };
  dragged.center -= change.center;
  dragged.width -= change.width;
  setWindow({ center: center + change.center, width: width + change.width });
}

function setOverlay(change) {
  if (change.mode === "errors" && !state.reference) return;
  Object.assign(state.overlay, change);
  mixPaints();
  showControls();
  redraw();
}

function nextMode() {
  const modes = MODES.filter((mode) => mode !== "errors" || state.reference);
  setOverlay({ mode: modes[(modes.indexOf(state.overlay.mode) + 1) % modes.length] });
}

// The point of the slice under the pointer stays there.
function zoomAt(well, clientX, clientY, factor) {
  if (!state.place) return;
  const box = well.getBoundingClientRect();
  const { place, view, shape, size } = state;
  const pictureWidth = place.scaleX * shape[2], pictureHeight = place.scaleY * shape[1];
  const dx = (clientX - box.left) * size.density - place.width / 2;
  const dy = (clientY - box.top) * size.density - place.height / 2;
  const zoom = Math.max(1, Math.min(MAX_ZOOM, view.zoom * factor));
  const shift = 1 - view.zoom / zoom;
  setView({ zoom, x: view.x + (dx / pictureWidth) * shift, y: view.y + (dy / pictureHeight) * shift });
}

function zoom(factor) {
  setView({ ...state.view, zoom: Math.max(1, Math.min(MAX_ZOOM, state.view.zoom * factor)) });
}

function pan(well, dx, dy) {
  if (!state.place) return;
  const { place, view, shape, size } = state;
  setView({
    zoom: view.zoom,
    x: view.x - (dx * size.density) / (place.scaleX * shape[2]),
    y: view.y - (dy * size.density) / (place.scaleY * shape[1]),
  });
}

function setView({ zoom: closer, x, y }) {
  const inside = (share) => Math.max(0, Math.min(1, share));
  state.view = closer === 1 ? { zoom: 1, x: 0.5, y: 0.5 } : { zoom: closer, x: inside(x), y: inside(y) };
  redraw("view");
}

function enlarge(id) {
  state.enlarged = state.enlarged === id ? null : id;
  layOut();
}

function point(well, clientX, clientY) {
  if (!state.place || !state.volume) return;
  const box = well.getBoundingClientRect();
  const { place, size, shape } = state;
  const x = Math.floor(((clientX - box.left) * size.density - place.left) / place.scaleX);
  const y = Math.floor(((clientY - box.top) * size.density - place.top) / place.scaleY);
  const inside = x >= 0 && y >= 0 && x < shape[2] && y < shape[1];
  state.point = inside ? { x, y, pane: well.dataset.pane } : null;
  redraw();
}

// A place that was jumped to: marked in every pane, and brought into view where the zoom hides it.
function pointAt({ x, y }) {
  state.point = { x, y, pane: null };
  const { place, view, shape } = state;
  const across = place ? place.left + (x + 0.5) * place.scaleX : 0, down = place ? place.top + (y + 0.5) * place.scaleY : 0;
  const hidden = place && (across < 0 || across > place.width || down < 0 || down > place.height);
  if (hidden) setView({ zoom: view.zoom, x: (x + 0.5) / shape[2], y: (y + 0.5) / shape[1] });
  redraw();
}

function toggleWitness() {
  if (!ui.gap.hidden) setOverlay({ witness: !state.overlay.witness });
}

function leave() {
  state.point = null;
  redraw();
}

function toggleHelp(open = ui.help.hidden) {
  ui.help.hidden = !open;
  ui.keys.setAttribute("aria-expanded", String(open));
  (open ? ui.help : ui.grid).focus({ preventScroll: true });
}

function escape() {
  if (!ui.help.hidden) toggleHelp(false);
  else if (state.enlarged !== null) enlarge(state.enlarged);
}

const act = {
  step: (slices) => goTo(state.k + slices),
  goTo, dragWindow, nextMode, zoomAt, zoom, pan, point, leave, toggleHelp, toggleWitness, escape,
  enlarge: (well) => enlarge(well.dataset.pane),
  preset: (index) => ui.presets[index]?.click(),
  toggleLabel: (label) => setOverlay({ [label]: !state.overlay[label] }),
  resetView: () => setView({ zoom: 1, x: 0.5, y: 0.5 }),
  touchSetsWindow: () => root.dataset.touch === "window",
  pixelsPerSlice: (well) => Math.max(3, Math.min(12, well.clientWidth / state.shape[0])),
};

// -- controls

function showControls() {
  const { mode, opacity, liver, tumour } = state.overlay;
  for (const button of ui.modes) {
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode));
    button.disabled = button.dataset.mode === "errors" && !state.reference;
    button.title = button.disabled ? "Needs a reference to compare with" : "Key C";
  }
  for (const button of ui.labels) {
    button.setAttribute("aria-pressed", String(button.dataset.label === "liver" ? liver : tumour));
  }
  ui.gap.hidden = !state.panes.some((pane) => pane.witness.given.length);
  ui.gap.setAttribute("aria-pressed", String(state.overlay.witness));
  root.dataset.witness = state.overlay.witness && !ui.gap.hidden ? "1" : "0";
  ui.opacity.value = String(Math.round(opacity * 100));
  ui.opacity.disabled = mode === "contour";
  ui.legend.hidden = mode !== "errors";
  root.dataset.overlay = mode;
  root.dataset.labels = LABEL_NAMES.filter((label) => state.overlay[label]).join(" ");
}

function listenToControls() {
  ui.slider.addEventListener("input", () => goTo(Number(ui.slider.value)));
  for (const button of ui.presets) {
    const { center, width } = button.dataset;
    button.addEventListener("click", () => setWindow({ center: Number(center), width: Number(width) }));
  }
  const typed = () => setWindow({ center: ui.center.valueAsNumber, width: ui.width.valueAsNumber });
  ui.center.addEventListener("change", typed);
  ui.width.addEventListener("change", typed);
  for (const button of ui.modes) button.addEventListener("click", () => setOverlay({ mode: button.dataset.mode }));
  for (const button of ui.labels) button.addEventListener("click", () => act.toggleLabel(button.dataset.label));
  ui.gap.addEventListener("click", toggleWitness);
  ui.grid.addEventListener("click", (event) => {
    const jump = event.target.closest(".lv-jump");
    if (!jump) return;
    const [z, y, x] = jump.dataset.end.split(" ").map(Number);
    goTo(z);
    pointAt({ x, y });
  });
  ui.opacity.addEventListener("input", () => setOverlay({ opacity: Number(ui.opacity.value) / 100 }));
  ui.reset.addEventListener("click", act.resetView);
  ui.keys.addEventListener("click", () => toggleHelp());
  find(".lv-help-close").addEventListener("click", () => toggleHelp(false));
  ui.retry.addEventListener("click", load);
  ui.touch.addEventListener("click", () => {
    const setsWindow = !act.touchSetsWindow();
    root.dataset.touch = setsWindow ? "window" : "slices";
    ui.touch.setAttribute("aria-pressed", String(setsWindow));
  });
  ui.fold.addEventListener("click", () => {
    ui.histogram.hidden = !ui.histogram.hidden;
    ui.fold.setAttribute("aria-expanded", String(!ui.histogram.hidden));
    redraw("slice");
  });
}

// -- layout

const isNarrow = () => ui.grid.clientWidth < NARROW;

function layOut() {
  const count = Math.max(1, state.panes.length);
  const shown = state.panes.some((pane) => pane.id === state.enlarged) ? state.enlarged : null;
  state.enlarged = shown;
  for (const pane of state.panes) {
    pane.article.hidden = shown !== null && pane.id !== shown;
    pane.enlarge.setAttribute("aria-pressed", String(pane.id === shown));
  }
  const columns = shown === null ? columnsFor(count, ui.grid.clientWidth) : 1;
  ui.grid.style.setProperty("--lv-columns", String(columns));
  ui.grid.classList.toggle("lv-alone", columns === 1);
  root.dataset.tight = ui.grid.clientWidth / columns < TIGHT ? "1" : "0";
  ui.tabs.hidden = count < 2;
  for (const tab of ui.tabs.children) tab.setAttribute("aria-pressed", String(tab.dataset.pane === (shown ?? "")));
  root.dataset.enlarged = shown ?? "";
  measure();
}

// All panes get one size in device pixels, so that the greys are scaled once for all of them.
function measure() {
  const wells = state.panes.filter((pane) => !pane.article.hidden).map((pane) => pane.well.getBoundingClientRect());
  if (!wells.length) return;
  const density = globalThis.devicePixelRatio || 1;
  const least = (side) => Math.floor(Math.min(...wells.map((well) => well[side])) * density);
  state.size = { width: least("width"), height: least("height"), density };
  if (!state.size.width || !state.size.height) return;
  if (picture?.width !== state.size.width || picture?.height !== state.size.height) {
    picture = new ImageData(state.size.width, state.size.height);
  }
  mixPaints();
  redraw("view");
}

function mixPaints() {
  paints = createPaints(colours, state.overlay.opacity, state.size.density);
}

// -- one frame

let frame = 0;
function redraw(what) {
  if (what) dirty[what] = true;
  if (!frame) frame = requestAnimationFrame(drawFrame);
}

function drawFrame() {
  frame = 0;
  const { volume, shape, k, size } = state;
  if (!volume || (state.settled && !isVisible())) return;  // hidden: drawn when it is seen again
  const changed = { ...dirty };
  if (changed.window) greys.window(state.window);
  if (changed.slice || changed.window) greys.paint(volume, k, shape);
  if (changed.slice) showSlice();
  if (changed.window) showWindow();
  if ((changed.slice || changed.window) && !ui.histogram.hidden) {
    if (changed.slice) histogram.count(volume, k, shape);
    histogram.fit();
    histogram.draw();
  }
  const visible = size.width > 0 && size.height > 0;
  if (visible) {
    if (changed.view) showPlace();
    if (changed.slice || changed.window || changed.view) greyPixels = greys.place(state.place);
    for (const pane of state.panes) {
      if (pane.article.hidden) continue;
      drawPane(pane);
      showWitness(pane.witness, state);
    }
  }
  showCursor();
  Object.assign(dirty, { slice: false, window: false, view: changed.view && !visible });
  if (visible && state.settled) root.dataset.ready = "1";
}

function showPlace() {
  const { size, shape, spacing, view } = state;
  state.place = placeSlice(size, shape, spacing, view);
  const pixelsPerMm = state.place.scale / size.density;
  const length = scaleLength(pixelsPerMm, size.width / size.density);
  for (const pane of state.panes) {
    pane.scaleBar.hidden = !spacing;
    pane.scaleBar.style.width = `${length * pixelsPerMm}px`;
    pane.scaleBar.textContent = `${length} mm`;
  }
  ui.reset.disabled = view.zoom === 1;
  root.dataset.zoom = view.zoom.toFixed(2);
}

function boxOf(pane) {
  const { k, shape } = state;
  if (!pane.boxes.has(k)) pane.boxes.set(k, labelledBox(pane.labels, k, shape));
  return pane.boxes.get(k);
}

function drawOverlay(pane, pixels) {
  const { place, overlay, k, shape, reference } = state;
  if (pane.levels) {
    const area = boxOf(pane) && rawArea(boxOf(pane), pane.labels, k, shape);
    if (area) fillClasses(pixels, place, area, pane.levels.map((level) => level.paint));
    return;
  }
  const compares = overlay.mode === "errors" && pane !== reference;
  const box = compares ? unionBox(boxOf(pane), boxOf(reference)) : boxOf(pane);
  if (!box) return;
  const table = compares ? errorTable(overlay) : labelTable(overlay);
  const area = classify(box, pane.labels, compares ? reference.labels : pane.labels, table, k, shape);
  if (compares) fillClasses(pixels, place, area, paints.errors);
  else drawLabels(pixels, place, area, paints, overlay);
}

function drawPane(pane) {
  const { size, place, k } = state;
  const { canvas, context } = pane;
  if (canvas.width !== size.width || canvas.height !== size.height) {
    canvas.width = size.width;
    canvas.height = size.height;
    canvas.style.width = `${size.width / size.density}px`;
    canvas.style.height = `${size.height / size.density}px`;
  }
  const pixels = new Uint32Array(picture.data.buffer);
  pixels.set(greyPixels);
  const pending = pane.finished?.[k] === "0";
  if (pending) drawPending(pixels, place, paints);
  else if (pane.labels) drawOverlay(pane, pixels);
  context.putImageData(picture, 0, 0);
  const text = pending ? "not done yet" : pane.labels ? "" : pane.emptyText;
  if (pane.empty.textContent !== text) pane.empty.textContent = text;
  if (pane.empty.hidden !== !text) pane.empty.hidden = !text;
}

// -- numbers

const number = (value, digits) => value.toFixed(digits).replace("-", "−");

function positionText() {
  const mm = state.spacing ? `, ${number(state.k * state.spacing[0], 1)} mm` : "";
  return `Slice ${state.k + 1} of ${state.shape[0]}${mm}`;
}

function showSlice() {
  const { k, shape, spacing } = state;
  ui.slider.value = String(k);
  ui.slider.style.setProperty("--lv-share", `${shape[0] > 1 ? ((100 * k) / (shape[0] - 1)).toFixed(2) : 0}%`);
  ui.slider.setAttribute("aria-valuetext", positionText());
  ui.position.textContent = `slice ${k + 1} / ${shape[0]}${spacing ? `  ·  ${number(k * spacing[0], 1)} mm` : ""}`;
  for (const pane of state.panes) {
    if (!pane.done.hidden) pane.done.style.setProperty("--lv-share", `${(100 * (k + 0.5)) / shape[0]}%`);
    showDice(pane, k);
  }
  root.dataset.slice = String(k);
}

function showWindow() {
  const { center, width } = state.window;
  ui.windowText.textContent = `W ${width}  L ${number(center, 0)}`;
  if (document.activeElement !== ui.width) ui.width.value = String(width);
  if (document.activeElement !== ui.center) ui.center.value = String(center);
  for (const button of ui.presets) {
    const same = Number(button.dataset.center) === center && Number(button.dataset.width) === width;
    button.setAttribute("aria-pressed", String(same));
  }
  root.dataset.window = `${width}/${center}`;
}

function valueText(index) {
  const value = state.volume[index];
  const sign = value === HU_MIN ? "≤ " : value === HU_MAX ? "≥ " : "";
  return `${sign}${number(value, 0)} ${state.value.unit}`;
}

function labelText(pane, index) {
  const k = Math.floor(index / (state.shape[1] * state.shape[2]));
  const label = pane.labels[index];
  const name = pane.finished?.[k] === "0" ? "not done yet" : pane.levels ? pane.levels[label].name : LABEL_NAMES[label];
  return `${pane.title.textContent}: ${name}`;
}

// Value, place and labels under the pointer, and a small cross at the same place in the other panes.
function showCursor() {
  const { point: at, place, size } = state;
  const text = at ? cursorText(at) : HINT;
  if (ui.cursor.textContent !== text) ui.cursor.textContent = text;
  for (const pane of state.panes) {
    const hidden = !at || !place || pane.id === at.pane;
    if (pane.mark.hidden !== hidden) pane.mark.hidden = hidden;
    if (hidden) continue;
    const x = (place.left + (at.x + 0.5) * place.scaleX) / size.density;
    const y = (place.top + (at.y + 0.5) * place.scaleY) / size.density;
    pane.mark.style.transform = `translate(${x}px, ${y}px)`;
  }
}

function cursorText(at) {
  const { shape: [, rows, columns], spacing, k } = state;
  const index = (k * rows + at.y) * columns + at.x;
  const where = spacing
    ? `x ${number(at.x * spacing[2], 1)}  y ${number(at.y * spacing[1], 1)}  z ${number(k * spacing[0], 1)} mm`
    : `voxel ${at.x}, ${at.y}, ${k}`;
  const told = state.panes.filter((pane) =>
    pane.labels && (pane === state.reference || pane.id === at.pane || state.panes.length <= 2));
  return [valueText(index), where, ...told.map((pane) => labelText(pane, index))].join("  ·  ");
}

// -- a new value from Python

function say(text, { retry = false, loading = false } = {}) {
  ui.message.hidden = !text;
  ui.messageText.textContent = text;
  ui.retry.hidden = !retry;
  ui.loading.hidden = !loading;
}

// Panes keep their element while their id stays, so nothing flickers when a model's result grows.
function arrangePanes(given) {
  const ids = given.map(({ id }) => id).join(" ");
  if (state.panes.map(({ id }) => id).join(" ") === ids) return;
  const before = new Map(state.panes.map((pane) => [pane.id, pane]));
  state.panes = given.map(({ id }) => before.get(id) ?? makePane(id, enlarge));
  ui.grid.replaceChildren(...state.panes.map((pane) => pane.article));
  const tabs = [["", "All"], ...given.map(({ id, title }) => [id, title])].map(([id, title]) => {
    const tab = make("button", "lv-tab", title);
    tab.type = "button";
    tab.dataset.pane = id;
    tab.addEventListener("click", () => {
      state.enlarged = id || null;
      layOut();
    });
    return tab;
  });
  ui.tabs.replaceChildren(...tabs);
}

function openCase(value) {
  const [z] = value.shape;
  Object.assign(state, {
    volume: null, shape: value.shape, spacing: value.spacing_mm, k: value.slice, moved: false, point: null,
    window: { ...value.window }, view: { zoom: 1, x: 0.5, y: 0.5 }, place: null, enlarged: null,
  });
  Object.assign(state.overlay, value.overlay);
  mixPaints();
  Object.assign(dirty, { slice: true, window: true, view: true });
  tellSlice.cancel();
  tellWindow.cancel();
  ui.slider.max = String(Math.max(0, z - 1));
}

function closeCase() {
  Object.assign(state, { value: null, volume: null, panes: [], reference: null, point: null });
  ui.grid.replaceChildren();
  ui.tabs.hidden = true;
  ui.tools.disabled = ui.slider.disabled = true;
  library.keepOnly(new Set());
  say("No case is open yet.");
}

// Files that belong to a value, with what to say when one of them does not come.
function filesOf(value) {
  const files = value.panes.filter((pane) => pane.labels)
    .map((pane) => ({ file: pane.labels, kind: "labels", name: `The outlines of “${pane.title}”` }));
  return [{ file: value.volume, kind: "volume", name: "The CT" }, ...files];
}

async function fetchFiles(value, signal) {
  const files = filesOf(value);
  const missing = files.filter(({ file }) => !library.has(file));
  const total = missing.reduce((sum, { file }) => sum + file.bytes, 0);
  let received = 0;
  const onBytes = (count) => {
    received += count;
    ui.loading.firstElementChild.style.width = `${Math.min(100, (100 * received) / total).toFixed(1)}%`;
  };
  return Promise.all(files.map(async ({ file, kind, name }) => {
    try {
      return await library[kind](file, value.shape, signal, onBytes);
    } catch (error) {
      throw new Error(`${name} could not be loaded: ${error.message}.`, { cause: error });
    }
  }));
}

function adopt(value, [volume, ...labelMaps]) {
  state.volume = volume;
  state.value = value;
  const queue = [...labelMaps];
  value.panes.forEach((given, i) => {
    const pane = state.panes[i];
    const labels = given.labels ? queue.shift() : null;
    if (pane.labels !== labels) pane.boxes.clear();
    pane.labels = labels;
    pane.levels = given.levels.length ? given.levels.map(withPaint) : null;
    pane.finished = given.finished;
    pane.emptyText = given.empty_text;
  });
  state.reference = state.panes.find((pane) => pane.id === value.reference && pane.labels) ?? null;
  if (!state.reference && state.overlay.mode === "errors") state.overlay.mode = "contour";
  library.keepOnly(new Set(filesOf(value).map(({ file }) => file.key)));
  ui.tools.disabled = ui.slider.disabled = false;
  root.dataset.panes = value.panes.map((pane) => pane.id).join(" ");
}

// One load at a time. Values that come while one of the same case is loading are taken up after it, the
// newest only; another case interrupts.
let loading = null;
async function load() {
  const value = props.value ? JSON.parse(JSON.stringify(props.value)) : null;  // plain, not Svelte's proxy
  const key = value?.volume.key ?? null;
  if (loading && loading.key === key) {
    loading.again = true;
    return;
  }
  loading?.abort.abort();
  const job = { key, abort: new AbortController(), again: false };
  loading = job;
  state.settled = false;
  root.dataset.ready = "0";
  if (!value) {
    loading = null;
    closeCase();
    return;
  }
  const sameCase = state.volume !== null && state.value?.volume.key === key;
  if (!sameCase) openCase(value);
  arrangePanes(value.panes);
  if (!sameCase && isNarrow() && value.panes.length > 2) state.enlarged = value.panes[0].id;
  const scored = value.panes.some((given) => given.dice.length);
  value.panes.forEach((given, i) => {
    describePane(state.panes[i], given, scored);
    showDice(state.panes[i], state.k);
  });
  layOut();
  // Under a second a waiting sign would only flicker.
  const sign = setTimeout(() => sameCase || say("Loading the CT", { loading: true }), 300);
  if (!sameCase) say("");
  try {
    const arrays = await fetchFiles(value, job.abort.signal);
    if (loading !== job) return;
    adopt(value, arrays);
    say("");
    state.settled = true;
    if (!sameCase) link.ask();
    // Where nobody drew a liver the case opened in its middle: once networks have found one, it is shown.
    else if (!state.moved && value.panes.every((pane) => pane.finished === null)) goTo(value.slice);
    showControls();
    Object.assign(dirty, { slice: true, window: true, view: true });
    redraw();
  } catch (error) {
    if (loading !== job) return;
    say(error.message, { retry: true });
    root.dataset.ready = "error";
  } finally {
    clearTimeout(sign);
    if (loading === job) {
      loading = null;
      if (job.again) load();
    }
  }
}

// -- start and end

const sizes = new ResizeObserver(() => {
  if (!element.isConnected) dispose();
  else {
    histogram.resize();
    layOut();
    redraw("window");
    if (state.untold && isVisible()) tellSlice();
  }
});
const themes = new MutationObserver(() => {
  theme = null;
  redraw("window");
});

// Everything else listens on the viewer's own elements and goes with them.
function dispose() {
  sizes.disconnect();
  themes.disconnect();
  loading?.abort.abort();
  loading = null;
  link.close();
  tellSlice.cancel();
  tellWindow.cancel();
  announce.cancel();
  cancelAnimationFrame(frame);
}

listenToControls();
listenToWheel(ui.grid, act);
listenToPointers(ui.grid, act);
listenToKeys(root, act);
sizes.observe(ui.grid);
sizes.observe(ui.histogram.querySelector(".lv-plot"));
themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
themes.observe(document.documentElement, { attributes: true, attributeFilter: ["lang"] });  // words of the histogram
watch("value", load);
load();
