// ---- panes: one picture each, made from the value's list ---------------------------------------------------

function make(tag, className, text) {
  const node = document.createElement(tag);
  node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function makePane(id, onEnlarge) {
  const article = make("article", "lv-pane");
  const header = make("header", "lv-head");
  const title = make("span", "lv-title");
  const note = make("span", "lv-note");
  const enlarge = make("button", "lv-icon lv-enlarge");
  enlarge.type = "button";
  enlarge.innerHTML = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M9 3h4v4M13 3L9 7M7 13H3V9M3 13l4-4"/></svg>';
  enlarge.addEventListener("click", () => onEnlarge(id));
  header.append(title, note, enlarge);

  const well = make("div", "lv-well");
  const canvas = make("canvas", "lv-canvas");
  canvas.setAttribute("role", "img");
  well.dataset.pane = id;
  const letters = ["R", "L", "A", "P"].map((letter) => {
    const node = make("span", `lv-letter lv-${letter}`, letter);
    node.setAttribute("aria-hidden", "true");
    return node;
  });
  const scaleBar = make("span", "lv-scale");
  const mark = make("span", "lv-mark");
  const empty = make("span", "lv-empty");
  const done = make("div", "lv-done");
  for (const node of [scaleBar, mark, empty, done]) node.hidden = true;
  well.append(canvas, ...letters, scaleBar, mark, empty);
  article.append(header, well, done);
  return {
    id, article, title, note, enlarge, well, canvas, scaleBar, mark, empty, done,
    context: canvas.getContext("2d", { alpha: false }), labels: null, finished: null, emptyText: "",
    boxes: new Map(),  // slice -> box around its labels
  };
}

// "0011" -> stretches of done slices as hard stops of a gradient.
function doneGradient(finished) {
  const share = (z) => `${((100 * z) / finished.length).toFixed(2)}%`;
  const stops = [];
  for (let z = 0, start = 0; z < finished.length; z++) {
    if (z + 1 < finished.length && finished[z + 1] === finished[z]) continue;
    const colour = finished[z] === "1" ? "var(--lv-bright)" : "transparent";
    stops.push(`${colour} ${share(start)} ${share(z + 1)}`);
    start = z + 1;
  }
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

function describePane(pane, given) {
  pane.title.textContent = given.title;
  pane.note.textContent = given.note;
  pane.canvas.setAttribute("aria-label", given.title);
  pane.enlarge.setAttribute("aria-label", `Enlarge ${given.title}, or back`);
  pane.enlarge.title = "Enlarge, or back (double click)";
  const running = given.finished?.includes("0") ?? false;
  pane.done.hidden = !running;
  if (running) {
    const count = [...given.finished].filter((digit) => digit === "1").length;
    pane.done.style.backgroundImage = doneGradient(given.finished);
    pane.note.textContent = `${count} of ${given.finished.length} slices`;
  }
}

// As few rows as fit with panes of a useful width, and rows as even as possible. Many panes may be smaller.
function columnsFor(count, width) {
  const useful = width < NARROW ? 130 : count > 6 ? 160 : 210;
  const most = Math.max(1, Math.floor(width / useful));
  const rows = Math.ceil(count / most);
  return Math.ceil(count / rows);
}

// A round length that fills at most a quarter of the picture.
function scaleLength(pixelsPerMm, width) {
  const fits = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * pixelsPerMm <= width / 4);
  return fits ?? 1;
}
