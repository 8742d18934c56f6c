// ---- labels: which class every voxel of a slice has -------------------------------------------------------

const LIVER = 1, TUMOUR = 2;
const TRUE_POSITIVE = 1, FALSE_POSITIVE = 2, FALSE_NEGATIVE = 3;

// What a label counts as, given the labels that are switched on. A tumour is part of the liver: with the
// tumour switched off its voxels count as liver.
function rankOf({ liver, tumour }) {
  if (liver) return tumour ? [0, LIVER, TUMOUR] : [0, LIVER, LIVER];
  return tumour ? [0, 0, TUMOUR] : [0, 0, 0];
}

// A table of the class for every pair of labels: class = table[4 * label + label of the other map].
function tableOf(classOf) {
  return Uint8Array.from({ length: 16 }, (_, i) => (i >> 2 < 3 && (i & 3) < 3 ? classOf(i >> 2, i & 3) : 0));
}

// LIVER or TUMOUR, whatever the other map says.
function labelTable(switches) {
  const rank = rankOf(switches);
  return tableOf((label) => rank[label]);
}

// Agreement with the reference. With both labels switched on, a voxel called tumour in the liver is a false
// positive, one called liver in the tumour a false negative.
function errorTable(switches) {
  const rank = rankOf(switches);
  return tableOf((label, reference) => {
    if (rank[label] === rank[reference]) return rank[label] ? TRUE_POSITIVE : 0;
    return rank[label] > rank[reference] ? FALSE_POSITIVE : FALSE_NEGATIVE;
  });
}

// A box around the labelled voxels of a slice, or null. Four voxels are read at once where rows allow it; the
// box may then be up to three voxels wider than needed.
function labelledBox(labels, k, [, height, width]) {
  const step = width % 4 === 0 ? 4 : 1;
  const words = step === 4 ? new Uint32Array(labels.buffer) : labels;
  let top = height, bottom = -1, left = width, right = -1;
  for (let y = 0, i = (k * height * width) / step; y < height; y++) {
    for (let x = 0; x < width; x += step, i++) {
      if (words[i] === 0) continue;
      if (bottom < 0) top = y;
      bottom = y;
      if (x < left) left = x;
      if (x > right) right = x;
    }
  }
  return bottom < 0 ? null : { top, bottom, left, right: right + step - 1 };
}

function unionBox(a, b) {
  if (!a || !b) return a ?? b;
  return {
    top: Math.min(a.top, b.top), bottom: Math.max(a.bottom, b.bottom),
    left: Math.min(a.left, b.left), right: Math.max(a.right, b.right),
  };
}

// The classes of a box, with an empty rim of one voxel so that every voxel has its four neighbours.
function classify(box, labels, other, table, k, [, height, width]) {
  const stride = box.right - box.left + 3;
  const classes = new Uint8Array(stride * (box.bottom - box.top + 3));
  for (let y = box.top; y <= box.bottom; y++) {
    let to = (y - box.top + 1) * stride + 1;
    const row = (k * height + y) * width;
    for (let i = row + box.left; i <= row + box.right; i++) classes[to++] = table[4 * labels[i] + other[i]];
  }
  return { ...box, stride, classes };
}

// The values of a box as they are, in classify()'s form.
function rawArea(box, labels, k, [, height, width]) {
  const stride = box.right - box.left + 3;
  const classes = new Uint8Array(stride * (box.bottom - box.top + 3));
  for (let y = box.top; y <= box.bottom; y++) {
    const row = (k * height + y) * width;
    classes.set(labels.subarray(row + box.left, row + box.right + 1), (y - box.top + 1) * stride + 1);
  }
  return { ...box, stride, classes };
}
