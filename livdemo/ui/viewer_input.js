// ---- input: mouse, wheel, touch and keys on the slices -----------------------------------------------------
// `act` has what can be done: step, goTo, drag (window), zoomAt, pan, point, leave, enlarge, ...

const WHEEL_NOTCH = 50;      // a single event of at least this much is one notch of a mouse wheel: one slice
const WHEEL_PER_SLICE = 30;  // trackpads send many small events: pixels that make a slice
const ZOOM_STEP = 1.25;

function listenToWheel(grid, act) {
  let rest = 0;
  grid.addEventListener("wheel", (event) => {
    const well = event.target.closest(".lv-well");
    if (!well) return;
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode === 1 ? 40 : 1);
    if (event.ctrlKey || event.metaKey) {
      act.zoomAt(well, event.clientX, event.clientY, Math.exp(-Math.max(-60, Math.min(60, delta)) / 200));
      return;
    }
    if (Math.abs(delta) >= WHEEL_NOTCH) {
      rest = 0;
      act.step(-Math.sign(delta));
      return;
    }
    rest += delta;
    const slices = Math.trunc(rest / WHEEL_PER_SLICE);
    rest -= slices * WHEEL_PER_SLICE;
    if (slices) act.step(-slices);
  }, { passive: false });
}

// Left drag: window. Right, middle or Shift drag: move the picture. One finger sideways: slices, while up
// and down still scrolls the page (touch-action in viewer.css). Two fingers: zoom and move.
function listenToPointers(grid, act) {
  const held = new Map();  // pointer id -> {x, y}
  let gesture = null;

  const middle = () => {
    const [a, b] = [...held.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
  };

  function begin(event, well) {
    if (held.size === 2) return { kind: "pinch", well, ...middle() };
    const at = { well, x: event.clientX, y: event.clientY };
    if (event.pointerType === "touch") return { ...at, kind: act.touchSetsWindow() ? "window" : "slices", rest: 0 };
    const pans = event.button !== 0 || event.shiftKey;
    return { ...at, kind: pans ? "pan" : "window" };
  }

  function continueWith(event) {
    const dx = event.clientX - gesture.x, dy = event.clientY - gesture.y;
    if (gesture.kind === "pinch") {
      if (held.size < 2) return;
      const now = middle();
      act.pan(gesture.well, now.x - gesture.x, now.y - gesture.y);
      act.zoomAt(gesture.well, now.x, now.y, now.apart / Math.max(1, gesture.apart));
      Object.assign(gesture, now);
      return;
    }
    if (gesture.kind === "slices") {
      gesture.rest += dx;
      const slices = Math.trunc(gesture.rest / act.pixelsPerSlice(gesture.well));
      gesture.rest -= slices * act.pixelsPerSlice(gesture.well);
      if (slices) act.step(slices);
    } else if (gesture.kind === "window") {
      act.dragWindow(dx, -dy);
    } else {
      act.pan(gesture.well, dx, dy);
    }
    gesture.x = event.clientX;
    gesture.y = event.clientY;
  }

  grid.addEventListener("pointerdown", (event) => {
    const well = event.target.closest(".lv-well");
    if (!well || event.target.closest("button")) return;
    if (event.button === 1) event.preventDefault();  // no autoscroll
    grid.focus({ preventScroll: true });
    if (event.pointerType !== "touch" || event.isPrimary) act.point(well, event.clientX, event.clientY);
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (held.size > 2) return;
    well.setPointerCapture(event.pointerId);
    gesture = begin(event, well);
  });
  grid.addEventListener("pointermove", (event) => {
    const well = event.target.closest(".lv-well");
    if (held.has(event.pointerId)) {
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (gesture) continueWith(event);
    }
    if (well && event.pointerType !== "touch") act.point(well, event.clientX, event.clientY);
  });
  const end = (event) => {
    held.delete(event.pointerId);
    gesture = null;  // a finger that stays after a pinch does nothing until it is lifted
  };
  grid.addEventListener("pointerup", end);
  grid.addEventListener("pointercancel", end);
  grid.addEventListener("lostpointercapture", end);
  grid.addEventListener("pointerleave", (event) => event.pointerType !== "touch" && act.leave());
  grid.addEventListener("contextmenu", (event) => event.target.closest(".lv-well") && event.preventDefault());
  grid.addEventListener("dblclick", (event) => {
    const well = event.target.closest(".lv-well");
    if (well && !event.target.closest("button")) act.enlarge(well);
  });
  // Two fingers belong to the picture even where one finger scrolls the page.
  for (const type of ["touchstart", "touchmove"]) {
    grid.addEventListener(type, (event) => {
      if (event.touches.length > 1 && event.target.closest(".lv-well")) event.preventDefault();
    }, { passive: false });
  }
}

function listenToKeys(root, act) {
  const actions = {
    ArrowUp: () => act.step(1), ArrowRight: () => act.step(1),
    ArrowDown: () => act.step(-1), ArrowLeft: () => act.step(-1),
    PageUp: () => act.step(10), PageDown: () => act.step(-10),
    Home: () => act.goTo(0), End: () => act.goTo(Infinity),
    c: () => act.nextMode(), l: () => act.toggleLabel("liver"), t: () => act.toggleLabel("tumour"),
    d: () => act.toggleWitness(),
    "+": () => act.zoom(ZOOM_STEP), "=": () => act.zoom(ZOOM_STEP), "-": () => act.zoom(1 / ZOOM_STEP),
    0: () => act.resetView(), h: () => act.toggleHelp(), "?": () => act.toggleHelp(), Escape: () => act.escape(),
  };
  const ownsArrows = 'input[type="range"]';
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('input[type="number"]')) return;
    const moves = /^(Arrow|Page|Home|End)/.test(event.key);
    if (moves && event.target.matches(ownsArrows)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = /^[1-9]$/.test(key) ? () => act.preset(Number(key) - 1) : actions[key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}
