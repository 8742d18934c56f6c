// ---- loading: from files of the server to arrays ------------------------------------------------------

// Fetch a gzip file {key, bytes, file: {url}} and unpack it while it arrives; onBytes(n) hears of each piece.
async function fetchUnpacked(file, signal, onBytes) {
  const response = await fetch(file.file.url, { signal });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  const counting = new TransformStream({
    transform(chunk, controller) {
      onBytes(chunk.length);
      controller.enqueue(chunk);
    },
  });
  const unpacked = response.body.pipeThrough(counting).pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(unpacked).arrayBuffer());
}

// The reverse of viewer.py's pack_volume(): per slice the low bytes, then the high bytes, of the zig-zagged
// difference of every voxel to its left neighbour.
function decodeVolume(bytes, [depth, height, width]) {
  const voxels = height * width;
  const hu = new Int16Array(depth * voxels);
  for (let z = 0; z < depth; z++) {
    const low = z * 2 * voxels;
    const high = low + voxels;
    for (let row = 0; row < voxels; row += width) {
      let value = 0;
      for (let i = row; i < row + width; i++) {
        const difference = bytes[low + i] | (bytes[high + i] << 8);
        value += (difference >>> 1) ^ -(difference & 1);
        hu[z * voxels + i] = value;
      }
    }
  }
  return hu;
}

// Arrays by the key of their content: what is here is not fetched again, what is out of use is let go.
function createLibrary() {
  let held = new Map();
  const check = (bytes, length) => {
    if (bytes.length !== length) throw new Error(`${bytes.length} bytes came instead of ${length}`);
    return bytes;
  };
  async function get(file, read, signal, onBytes) {
    if (!held.has(file.key)) held.set(file.key, read(await fetchUnpacked(file, signal, onBytes)));
    return held.get(file.key);
  }
  return {
    volume: (file, shape, signal, onBytes) => {
      const length = 2 * shape[0] * shape[1] * shape[2];
      return get(file, (bytes) => decodeVolume(check(bytes, length), shape), signal, onBytes);
    },
    labels: (file, shape, signal, onBytes) => {
      const length = shape[0] * shape[1] * shape[2];
      return get(file, (bytes) => check(bytes, length), signal, onBytes);
    },
    has: (file) => held.has(file.key),
    keepOnly(keys) {
      held = new Map([...held].filter(([key]) => keys.has(key)));
    },
  };
}
