// ---- witness: the two voxels between which a Hausdorff distance is measured, drawn on their slices -----------
// It is a measurement and no label: lines of the page above the canvas, whose pixels stay those of the labels.

const SVG = "http://www.w3.org/2000/svg";
const LETTER = 6.2;  // CSS pixels of a letter, enough to keep words inside of the picture
const LINE = 13;

// What a pane keeps of it: the drawing, and one button per label that brings the slice of an end.
function makeWitness() {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "lv-witness");
  drawing.setAttribute("aria-hidden", "true");  // the buttons say it
  const jumps = make("div", "lv-jumps");
  return { drawing, jumps, nodes: [drawing, jumps], given: [], buttons: [], shown: "" };
}

function describeWitness(witness, given) {
  witness.given = given;
  witness.shown = "";
  witness.drawing.replaceChildren();
  witness.buttons = given.map(({ label, words, whose }) => {
    const button = make("button", "lv-jump");
    button.type = "button";
    button.hidden = true;
    button.dataset.label = label;
    const other = whose === "prediction" ? "reference" : "prediction";
    button.title = `Hausdorff distance of the ${label}, ${words}: no point of the ${whose}'s outline is further from the ${other}'s.`;
    button.append(make("i", ""), make("strong", "", `HD ${words}`), make("span", ""));
    return button;
  });
  witness.jumps.replaceChildren(...witness.buttons);
}

// Nothing is touched while nothing changes: a button that is being pressed has to stay.
function showWitness(witness, { overlay, k, place, size }) {
  const on = witness.given.filter(({ label }) => overlay.witness && overlay[label]);
  const shown = on.length ? [on.map(({ label }) => label), k, place.left, place.top, place.scale, size.width].join() : "";
  if (witness.shown === shown) return;
  witness.shown = shown;
  witness.given.forEach((one, i) => {
    witness.buttons[i].hidden = !on.includes(one);
    if (on.includes(one)) tellJump(witness.buttons[i], one, k);
  });
  const toPage = ([, y, x]) => ({
    x: (place.left + (x + 0.5) * place.scaleX) / size.density, y: (place.top + (y + 0.5) * place.scaleY) / size.density,
  });
  const box = { width: size.width / size.density, height: size.height / size.density };
  const here = on.filter(({ ends }) => ends.some(([z]) => z === k));
  const taken = [];
  witness.drawing.replaceChildren(...here.flatMap((one) => drawWitness(one, k, toPage, box, taken)));
}

// The end to go to: the lonely one, or the other where that is in view.
function tellJump(button, { label, ends, words }, k) {
  const [lonely, near] = ends;
  const whole = lonely[0] === k && near[0] === k;
  const to = lonely[0] === k ? near : lonely;
  const text = whole ? "in this slice" : `slice ${to[0] + 1}`;
  button.dataset.end = (whole ? lonely : to).join(" ");
  button.lastElementChild.textContent = text;
  button.setAttribute("aria-label", `HD ${words} ${text}, ${label}`);
}

// Solid where both ends lie in the slice; else dashed to where the other end lies in its own slice.
function drawWitness({ label, ends, words }, k, toPage, box, taken) {
  const [lonely, near] = ends;
  const [a, b] = ends.map(toPage);
  const whole = lonely[0] === k && near[0] === k;
  const line = { x1: a.x, y1: a.y, x2: b.x, y2: b.y };
  const nodes = [
    svgNode("line", { ...line, class: "lv-halo" }),
    svgNode("line", { ...line, class: whole ? "lv-whole" : "lv-beyond" }),
  ];
  if (lonely[0] === k) nodes.push(...ring(a, "lv-halo"), ...ring(a, "lv-far"));
  if (near[0] === k) nodes.push(svgNode("circle", { cx: b.x, cy: b.y, r: 4, class: "lv-near" }));
  const end = lonely[0] === k ? a : b;
  const other = (lonely[0] === k ? near : lonely)[0] + 1;
  const lines = whole ? [`${label} ${words}`] : [`${label} ${words}`, "other end", `on slice ${other}`];
  const inside = end.x >= 0 && end.y >= 0 && end.x <= box.width && end.y <= box.height;
  return inside ? [...nodes, wordsAt(end, lines, box, taken)] : nodes;
}

const ring = ({ x, y }, name) => [svgNode("circle", { cx: x, cy: y, r: 6, class: name })];

// Beside the point, on the side with more room, inside of the picture and off the words that stand there already.
function wordsAt({ x, y }, lines, box, taken) {
  const length = Math.max(...lines.map((text) => text.length)) * LETTER;
  const height = lines.length * LINE;
  const right = x < box.width / 2;
  const left = Math.max(4, Math.min(box.width - length - 4, right ? x + 11 : x - 11 - length));
  let top = Math.max(4, Math.min(box.height - height - 4, y - height / 2));
  const clash = (one) => top < one.bottom && top + height > one.top && left < one.right && left + length > one.left;
  for (const one of taken) if (clash(one)) top = one.bottom;
  taken.push({ left, right: left + length, top, bottom: top + height });
  const text = svgNode("text", {});
  lines.forEach((words, i) => {
    const line = svgNode("tspan", { x: left, y: top + LINE * (i + 0.8) });
    line.textContent = words;
    text.append(line);
  });
  return text;
}

function svgNode(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, typeof value === "number" ? value.toFixed(1) : value);
  }
  return node;
}
