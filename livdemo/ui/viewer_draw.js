// ---- drawing: greys once per slice, then every pane's overlay into the same pixels ------------------------
// Overlays are written pixel by pixel, never by the canvas, so that no anti-aliasing can mix a third colour.
// Pixels are 32-bit numbers 0xAABBGGRR, as ImageData has them on every machine that runs a browser today.

const HU_MIN = -1024, HU_MAX = 3071;  // what viewer.py sends
const NEAREST_FROM = 3;  // device pixels per voxel from which single voxels are shown as squares

// Where a slice lies on a canvas of width × height device pixels. view.x and view.y are the point of the
// slice (0 to 1) in the middle of the canvas. columns[x] is the first device pixel of voxel x. `pixel` is the
// width of an outline: a device pixel on a plain screen, as many as make up a pixel of the page on a dense
// one, where a single one would be too fine to see.
function placeSlice({ width, height, density }, [, rows, cols], spacing, view) {
  const [, rowStep, colStep] = spacing ?? [1, 1, 1];
  const scale = Math.min(width / (cols * colStep), height / (rows * rowStep)) * view.zoom;
  const scaleX = scale * colStep, scaleY = scale * rowStep;
  const left = Math.round(width / 2 - view.x * cols * scaleX);
  const top = Math.round(height / 2 - view.y * rows * scaleY);
  const borders = (count, start, step) =>
    Int32Array.from({ length: count + 1 }, (_, i) => Math.ceil(start + i * step - 0.5));
  return {
    width, height, left, top, scaleX, scaleY, scale, pixel: Math.max(1, Math.round(density)),
    columns: borders(cols, left, scaleX), rows: borders(rows, top, scaleY),
  };
}

// -- greys

const greyPixel = (grey) => (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0;

function createGreys() {
  const slice = document.createElement("canvas");   // one pixel per voxel
  const placed = document.createElement("canvas");  // as large as a pane, zoomed and moved
  const sliceContext = slice.getContext("2d");
  const placedContext = placed.getContext("2d", { alpha: false, willReadFrequently: true });
  const table = new Uint32Array(HU_MAX - HU_MIN + 1);
  let image = null;

  function window({ center, width }) {
    const low = center - width / 2;
    for (let i = 0; i < table.length; i++) {
      const share = (i + HU_MIN - low) / width;
      table[i] = greyPixel(share <= 0 ? 0 : share >= 1 ? 255 : Math.round(share * 255));
    }
  }

  function paint(volume, k, [, height, width]) {
    if (!image || image.width !== width || image.height !== height) {
      slice.width = width;
      slice.height = height;
      image = new ImageData(width, height);
    }
    const pixels = new Uint32Array(image.data.buffer);
    const offset = k * height * width;
    const count = pixels.length;
    for (let i = 0; i < count; i++) pixels[i] = table[volume[offset + i] - HU_MIN];
    sliceContext.putImageData(image, 0, 0);
  }

  // The pixels of a pane without overlay.
  function place(at) {
    if (placed.width !== at.width || placed.height !== at.height) {
      placed.width = at.width;
      placed.height = at.height;
    }
    const least = Math.min(at.scaleX, at.scaleY);
    placedContext.fillStyle = "#000";
    placedContext.fillRect(0, 0, at.width, at.height);
    placedContext.imageSmoothingEnabled = least < NEAREST_FROM;
    placedContext.imageSmoothingQuality = least < 0.5 ? "medium" : "low";
    const right = at.columns[slice.width], bottom = at.rows[slice.height];
    placedContext.drawImage(slice, at.left, at.top, right - at.left, bottom - at.top);
    return new Uint32Array(placedContext.getImageData(0, 0, at.width, at.height).data.buffer);
  }

  return { window, paint, place };
}

// -- overlay

// A colour with its mixtures over every grey, and where it is drawn unmixed: at the set points of a tile.
function createPaint(hex, opacity, size = 1, isSet = () => false) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const mixed = Uint32Array.from({ length: 256 }, (_, grey) => {
    const mix = (channel) => Math.round(grey * (1 - opacity) + channel * opacity);
    return 0xff000000 | (mix(blue) << 16) | (mix(green) << 8) | mix(red);
  });
  const tile = Uint8Array.from({ length: size * size }, (_, i) => isSet(i % size, Math.floor(i / size)));
  return { solid: (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0, mixed, tile, size };
}

// A level of a map (how many say so, how unsure) with its paint; the greys below shine through a little.
const LEVEL_OPACITY = 0.72;
const withPaint = (level) => ({ ...level, paint: createPaint(level.colour, LEVEL_OPACITY) });

// Hatching and dots are as coarse on a dense screen as on a plain one.
function createPaints(colours, opacity, density) {
  const pixel = Math.max(1, Math.round(density));
  const hatch = 6 * pixel, dots = 5 * pixel, pending = 12 * pixel;
  return {
    labels: [null, createPaint(colours.liver, opacity), createPaint(colours.tumour, opacity)],
    errors: [
      null,
      createPaint(colours.truePositive, opacity),
      createPaint(colours.falsePositive, opacity, hatch, (x, y) => (x + y) % hatch < 2 * pixel),
      createPaint(colours.falseNegative, opacity, dots, (x, y) => x < 2 * pixel && y < 2 * pixel),
    ],
    pending: createPaint("#6b7788", 0, pending, (x, y) => (x - y + pending) % pending < pixel),
  };
}

function fillRectangle(pixels, { width, height }, x0, y0, x1, y1, { solid, mixed, tile, size }) {
  const left = Math.max(0, x0), right = Math.min(width, x1), bottom = Math.min(height, y1);
  for (let y = Math.max(0, y0); y < bottom; y++) {
    const tileRow = (y % size) * size;
    for (let x = left, i = y * width + left; x < right; x++, i++) {
      pixels[i] = tile[tileRow + (x % size)] ? solid : mixed[pixels[i] & 255];
    }
  }
}

function drawLine(pixels, { width, height }, x0, y0, x1, y1, colour) {
  const left = Math.max(0, x0), right = Math.min(width, x1), bottom = Math.min(height, y1);
  for (let y = Math.max(0, y0); y < bottom; y++) {
    for (let x = left, i = y * width + left; x < right; x++, i++) pixels[i] = colour;
  }
}

// Every run of voxels of one class as a rectangle of that class's paint.
function fillClasses(pixels, at, area, paints) {
  const { classes, stride } = area;
  for (let y = area.top; y <= area.bottom; y++) {
    const row = (y - area.top + 1) * stride + 1 - area.left;
    for (let x = area.left, start = x; x <= area.right; x++) {
      const here = classes[row + x];
      if (classes[row + x + 1] === here && x < area.right) continue;
      if (here) {
        fillRectangle(
          pixels, at, at.columns[start], at.rows[y], at.columns[x + 1], at.rows[y + 1], paints[here]);
      }
      start = x + 1;
    }
  }
}

// The borders of liver (tumour included) and tumour, each on its inner side. `outlines`: [class from which a
// voxel is inside, colour], later ones on top.
function outlineClasses(pixels, at, area, outlines) {
  const { classes, stride } = area;
  const { columns, rows, pixel } = at;
  for (let y = area.top; y <= area.bottom; y++) {
    const y0 = rows[y], y1 = Math.max(rows[y + 1], y0 + pixel);
    for (let x = area.left, i = (y - area.top + 1) * stride + 1; x <= area.right; x++, i++) {
      const here = classes[i];
      if (!here) continue;
      const above = classes[i - stride], below = classes[i + stride], left = classes[i - 1], right = classes[i + 1];
      if (above === here && below === here && left === here && right === here) continue;
      const x0 = columns[x], x1 = Math.max(columns[x + 1], x0 + pixel);
      for (const [least, colour] of outlines) {
        if (here < least) continue;
        if (above < least) drawLine(pixels, at, x0, y0, x1, y0 + pixel, colour);
        if (below < least) drawLine(pixels, at, x0, y1 - pixel, x1, y1, colour);
        if (left < least) drawLine(pixels, at, x0, y0, x0 + pixel, y1, colour);
        if (right < least) drawLine(pixels, at, x1 - pixel, y0, x1, y1, colour);
      }
    }
  }
}

function drawLabels(pixels, at, area, paints, { mode, liver, tumour }) {
  if (mode === "fill") fillClasses(pixels, at, area, paints.labels);
  const outlined = [liver && LIVER, tumour && TUMOUR].filter(Boolean);
  outlineClasses(pixels, at, area, outlined.map((label) => [label, paints.labels[label].solid]));
}

function drawPending(pixels, at, paints) {
  fillRectangle(pixels, at, at.left, at.top, at.columns.at(-1), at.rows.at(-1), paints.pending);
}
