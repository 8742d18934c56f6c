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
  const dice = make("div", "lv-dice");  // Dice of the slice in view and of the case, or what a map's colours mean

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
  const witness = makeWitness();
  well.append(canvas, ...letters, scaleBar, mark, empty, ...witness.nodes);
  article.append(header, dice, well, done);
  return {
    id, article, header, title, note, enlarge, dice, well, canvas, scaleBar, mark, empty, done, witness,
    context: canvas.getContext("2d", { alpha: false }), labels: null, levels: null, slices: [], finished: null, emptyText: "",
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

// `scored`: some pane of the viewer has Dice, so all keep the line for it and the pictures stand level.
function describePane(pane, given, scored) {
  pane.title.textContent = given.title;
  pane.note.textContent = given.note;
  pane.header.title = given.hint;
  pane.article.dataset.kind = given.kind;
  pane.dice.hidden = !scored && !given.levels.length;
  pane.slices = given.dice.map((one) => ({ ...one, here: diceOf(one, pane) }));
  if (given.levels.length) pane.dice.replaceChildren(legendOf(given.levels));
  else pane.dice.replaceChildren(...pane.slices.map((one) => one.here.node));
  describeWitness(pane.witness, given.witnesses);
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

// As few rows as fit with panes of a useful width, and rows as even as possible.
function columnsFor(count, width) {
  const useful = width < NARROW ? 130 : 200;
  const most = Math.max(1, Math.floor(width / useful));
  const rows = Math.ceil(count / most);
  return Math.ceil(count / rows);
}

// A round length that fills at most a quarter of the picture.
function scaleLength(pixelsPerMm, width) {
  const fits = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm * pixelsPerMm <= width / 4);
  return fits ?? 1;
}

// "■ Dice 0.95 | 3D 0.96" of one label; the first figure follows the slice.
function diceOf({ label, volume }) {
  const node = make("span", "lv-figure");
  node.dataset.label = label;
  const here = make("b", "");
  const whole = make("span", "", volume === null ? "3D n/a" : `3D ${volume.toFixed(3)}`);
  node.append(make("i", ""), make("em", "", "Dice"), here, whole);
  return { node, here };
}

function showDice(pane, k) {
  for (const { label, slices, here } of pane.slices) {
    const value = slices[k];
    here.here.textContent = value === null ? "n/a" : value.toFixed(2);
    here.node.title = value === null
      ? `${label}: neither has a pixel in this slice. 3D: Dice of all slices together.`
      : `${label}: Dice of this slice ${value.toFixed(3)}. 3D: Dice of all slices together.`;
  }
}

// The colours of a map from its lowest to its highest level.
function legendOf(levels) {
  const node = make("span", "lv-ramp");
  const ends = levels.slice(1);
  const bar = make("i", "");
  for (const { colour } of ends) {
    const step = make("s", "");
    step.style.backgroundColor = colour;
    bar.append(step);
  }
  node.append(make("span", "", ends[0].name), bar, make("span", "", ends.at(-1).name));
  return node;
}
