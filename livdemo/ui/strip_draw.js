// ---- strip_draw: rows of the strip on one canvas -----------------------------------------------------------

const ROW = 44, LEAD = 16, FOOT = 20;  // CSS pixels: a row, the space above for lesions, the axis below
const GAP = 5;  // between rows

// The middle of slice k, and the slice at a place.
const placeOf = (k, depth, width) => ((k + 0.5) * width) / depth;
const sliceAt = (x, depth, width) => Math.max(0, Math.min(depth - 1, Math.floor((x / width) * depth)));

function hatching(context, colour) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  for (const shift of [-6, 0, 6]) {
    pen.beginPath();
    pen.moveTo(shift - 1, 7);
    pen.lineTo(shift + 7, -1);
    pen.stroke();
  }
  return context.createPattern(tile, "repeat");
}

// Areas are drawn by their square root: a lesion of 1 cm² should be seen beside a liver of 200.
const heightOf = (area, most, height) => (most > 0 ? Math.sqrt(area / most) * height : 0);

function drawShadow(pen, { areas, most, depth, width, top, height, colour }) {
  pen.fillStyle = colour;
  const step = width / depth;
  for (let k = 0; k < depth; k++) {
    const h = heightOf(areas[k], most, height);
    if (h > 0) pen.fillRect(k * step, top + height - h, step + 0.6, h);
  }
}

function drawAlarms(pen, { areas, most, depth, width, top, height, colour, pattern }) {
  const step = width / depth;
  for (let k = 0; k < depth; k++) {
    if (!areas[k]) continue;
    const h = Math.max(6, heightOf(areas[k], most, height));
    pen.fillStyle = pattern;
    pen.fillRect(k * step, top + height - h, step, h);
    pen.fillStyle = colour;
    pen.fillRect(k * step, top + height - h, step, 1.5);
  }
}

// A line with gaps where there is nothing to score; a point that stands alone is a dot.
function drawDice(pen, { dice, depth, width, top, height, colour }) {
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 1.8;
  pen.lineJoin = "round";
  const y = (value) => top + height - 1 - value * (height - 2);
  for (let k = 0; k < depth; k++) {
    if (dice[k] === null || (k > 0 && dice[k - 1] !== null)) continue;
    let last = k;
    while (last + 1 < depth && dice[last + 1] !== null) last++;
    pen.beginPath();
    if (last === k) pen.arc(placeOf(k, depth, width), y(dice[k]), 2, 0, 7);
    else for (let i = k; i <= last; i++) pen.lineTo(placeOf(i, depth, width), y(dice[i]));
    if (last === k) pen.fill();
    else pen.stroke();
  }
}

function drawRow(pen, { profile, reference, depth, width, top, colours, pattern, chosen }) {
  const height = ROW - GAP;
  pen.fillStyle = chosen ? colours.chosen : colours.row;
  pen.fillRect(0, top, width, height);
  const most = Math.max(...reference, ...(profile?.alarm ?? []));
  const frame = { most, depth, width, top, height };
  drawShadow(pen, { ...frame, areas: reference, colour: colours.shadow });
  if (!profile) return;
  drawAlarms(pen, { ...frame, areas: profile.alarm, colour: colours.alarm, pattern });
  drawDice(pen, { ...frame, dice: profile.dice, colour: colours.line });
}

function drawLesions(pen, { lesions, depth, width, colours, k }) {
  for (const lesion of lesions) {
    const x = placeOf(lesion.slice, depth, width);
    const r = lesion.slice === k ? 5.5 : 4;
    pen.fillStyle = colours.lesion;
    pen.beginPath();
    pen.moveTo(x, LEAD / 2 - r);
    pen.lineTo(x + r, LEAD / 2);
    pen.lineTo(x, LEAD / 2 + r);
    pen.lineTo(x - r, LEAD / 2);
    pen.fill();
  }
}

// A tick every 10, 20, 50 ... slices, so that numbers do not touch.
function drawAxis(pen, { depth, width, bottom, colours, font }) {
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((step) => (step * width) / depth >= 42) ?? 1000;
  pen.font = `11px ${font}`;
  pen.textBaseline = "bottom";
  for (let number = every; number <= depth; number += every) {
    const x = placeOf(number - 1, depth, width);
    const half = pen.measureText(number).width / 2;
    if (x + half > width || x - half < 0) continue;
    pen.fillStyle = colours.muted;
    pen.textAlign = "center";
    pen.fillText(number, x, bottom);
    pen.fillRect(x - 0.5, bottom - FOOT + 1, 1, 4);
  }
}

function drawCursor(pen, { k, hover, depth, width, height, colours }) {
  const step = Math.max(1, width / depth);
  if (hover !== null && hover !== k) {
    pen.fillStyle = colours.hover;
    pen.fillRect((hover * width) / depth, LEAD, step, height - LEAD - FOOT);
  }
  pen.fillStyle = colours.cursor;
  pen.fillRect(placeOf(k, depth, width) - 1, 2, 2, height - FOOT);
}
