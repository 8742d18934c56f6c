// ---- histogram: the HU of the slice, the window as a band that can be dragged ------------------------------

// Axes to choose from: the soft tissues, or everything when the window does not fit into them.
const HU_AXES = [[-220, 380], [-1080, 1560]];
const HU_AIR = -900;  // at and below: air, left out since one bar would dwarf all others
const TISSUES = [
  ["water", 0], ["fat", -100], ["liver", 100], ["air", -1000], ["lung", -750], ["bone", 1000], ["blood", 40],
];
const MARKS_HEIGHT = 41;  // grey ramp, then the tissues in two lines
const EDGE_REACH = 9;  // CSS pixels around an edge of the band in which it can be gripped

function countValues(volume, k, [, height, width], counts) {
  counts.fill(0);
  const end = (k + 1) * height * width;
  for (let i = k * height * width; i < end; i++) counts[volume[i] - HU_MIN]++;
}

function createHistogram(canvas, { theme, getWindow, onWindow, hasTissues }) {
  const counts = new Uint32Array(HU_MAX - HU_MIN + 1);
  const context = canvas.getContext("2d");
  let axis = HU_AXES[0];
  let grip = null;
  let size = { width: 0, height: 0 };

  const toX = (hu) => ((hu - axis[0]) / (axis[1] - axis[0])) * size.width;
  const toHu = (x) => axis[0] + (x / size.width) * (axis[1] - axis[0]);
  const edges = ({ center, width }) => [center - width / 2, center + width / 2];

  function chooseAxis(window) {
    const [low, high] = edges(window);
    axis = HU_AXES.find(([from, to]) => low >= from && high <= to) ?? HU_AXES.at(-1);
  }

  // Not in every frame: asking for the size makes the browser lay out the page at once.
  function resize() {
    const density = globalThis.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    const pixels = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width !== pixels[0]) canvas.width = pixels[0];
    if (canvas.height !== pixels[1]) canvas.height = pixels[1];
    context.setTransform(density, 0, 0, density, 0, 0);
    size = { width, height };
  }

  function drawBars(low, high, top, bottom, colours) {
    const bin = Math.max(1, Math.round(((axis[1] - axis[0]) / size.width) * 3));  // HU: bars 3 pixels wide
    const sums = [];
    for (let hu = Math.ceil(axis[0] / bin) * bin; hu < axis[1]; hu += bin) {
      let sum = 0;
      for (let i = Math.max(hu, HU_AIR + 1, HU_MIN); i < hu + bin; i++) sum += counts[i - HU_MIN];
      sums.push([hu, sum]);
    }
    const most = Math.max(1, ...sums.map(([, sum]) => sum));
    const step = toX(axis[0] + bin);
    for (const [hu, sum] of sums) {
      const middle = hu + bin / 2;
      context.fillStyle = middle >= low && middle <= high ? colours.bar : colours.barOutside;
      const height = (sum / most) * (bottom - top);
      context.fillRect(toX(hu), bottom - height, Math.max(1, step - 0.5), height);
    }
  }

  // Under the bars the grey that each HU gets.
  function drawRamp(low, high, top, height, colours) {
    const ramp = context.createLinearGradient(toX(low), 0, Math.max(toX(high), toX(low) + 0.01), 0);
    ramp.addColorStop(0, "#000");
    ramp.addColorStop(1, "#fff");
    context.fillStyle = ramp;
    context.fillRect(0, top, size.width, height);
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.strokeRect(0.5, top + 0.5, size.width - 1, height - 1);
  }

  function drawMarks(top, colours) {
    const taken = [];
    context.textAlign = "center";
    context.fillStyle = colours.muted;
    for (const [english, hu] of hasTissues() ? TISSUES : []) {
      const name = globalThis.livdemoWord?.(english) ?? english;
      const value = String(hu).replace("-", "−");
      const half = Math.max(context.measureText(name).width, context.measureText(value).width) / 2;
      const x = toX(hu);
      if (x - half < 0 || x + half > size.width) continue;
      if (taken.some(([from, to]) => x + half + 8 > from && x - half - 8 < to)) continue;
      taken.push([x - half, x + half]);
      context.fillRect(x - 0.5, top, 1, 4);
      context.fillText(name, x, top + 15);
      context.fillText(value, x, top + 28);
    }
    if (!hasTissues()) return;
    context.textAlign = "right";
    context.fillText("HU", size.width, top + 28);
  }

  function drawEdgeLabels([low, high], left, right, colours) {
    context.fillStyle = colours.text;
    const texts = [low, high].map((hu) => String(Math.round(hu)).replace("-", "−"));
    const widths = texts.map((text) => context.measureText(text).width);
    const inside = right - left > widths[0] + widths[1] + 18;
    let x0 = inside ? left + 5 : left - 5 - widths[0];
    let x1 = inside ? right - 5 - widths[1] : right + 5;
    x0 = Math.max(2, Math.min(x0, size.width - widths[0] - widths[1] - 12));
    x1 = Math.max(x0 + widths[0] + 8, Math.min(x1, size.width - widths[1] - 2));
    context.textAlign = "left";
    context.fillText(texts[0], x0, 12);
    context.fillText(texts[1], x1, 12);
  }

  function draw() {
    const { width, height } = size;
    if (!width || !height) return;
    const colours = theme();
    const [low, high] = edges(getWindow());
    const bottom = height - MARKS_HEIGHT;
    const left = Math.max(0, toX(low)), right = Math.min(width, toX(high));
    context.clearRect(0, 0, width, height);
    context.font = `11px ${colours.font}`;
    context.fillStyle = colours.band;
    context.fillRect(left, 0, Math.max(1, right - left), bottom);
    drawBars(low, high, 18, bottom, colours);
    context.fillStyle = colours.accent;
    for (const x of [toX(low), toX(high)]) if (x >= 0 && x <= width) context.fillRect(x - 1, 0, 2, bottom);
    drawRamp(low, high, bottom, 8, colours);
    drawMarks(bottom + 9, colours);
    drawEdgeLabels([low, high], left, right, colours);
  }

  function partAt(x) {
    const [low, high] = edges(getWindow());
    const reach = Math.min(EDGE_REACH, Math.max(2, (toX(high) - toX(low)) / 4));
    if (Math.abs(x - toX(low)) <= reach || (x < toX(low) && toX(low) - x <= EDGE_REACH)) return "low";
    if (Math.abs(x - toX(high)) <= reach || (x > toX(high) && x - toX(high) <= EDGE_REACH)) return "high";
    return "middle";
  }

  // Edges change the width and leave the level; the middle moves the level. A press beside the band brings
  // the level there.
  function drag(x) {
    const { center, width } = getWindow();
    if (grip.part === "middle") onWindow({ center: toHu(x) - grip.offset, width });
    else onWindow({ center, width: 2 * (grip.part === "low" ? center - toHu(x) : toHu(x) - center) });
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const x = event.offsetX;
    const part = partAt(x);
    const [low, high] = edges(getWindow());
    const inside = x >= toX(low) && x <= toX(high);
    grip = { part, offset: part === "middle" && inside ? toHu(x) - getWindow().center : 0 };
    canvas.setPointerCapture(event.pointerId);
    if (part === "middle" && !inside) drag(x);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (grip) return drag(event.offsetX);
    canvas.style.cursor = partAt(event.offsetX) === "middle" ? "grab" : "ew-resize";
  });
  const release = () => {
    grip = null;
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  return {
    count: (volume, k, shape) => countValues(volume, k, shape, counts),
    // The axis stays while the band is held, otherwise it would run away under the pointer.
    fit: () => grip || chooseAxis(getWindow()),
    resize,
    draw,
  };
}
