// ---- link_address: the page's address with what is on the screen -------------------------------------------
// Slice and window live in the viewers; they are asked through link.js, which answers at once.

function linkAddress(value, models, untrained) {
  if (!value) return value;
  if (value.case === null) return { ...value, address: "", at: Date.now() };
  const seen = {};
  const link = createLink({ key: () => value.key, hear: (told) => Object.assign(seen, told) });
  link.ask();
  link.close();
  const asked = new URLSearchParams({ case: value.case });
  if (seen.k !== undefined) asked.set("slice", String(seen.k + 1));
  if (seen.window) asked.set("window", windowName(value.windows, seen.window));
  asked.set("models", [...models, ...untrained].join(","));
  const place = value.places.find((id) => document.getElementById(id)?.getClientRects().length);
  if (place) asked.set("place", place);
  const readable = asked.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
  return { ...value, address: `${location.origin}${location.pathname}?${readable}`, at: Date.now() };
}

function windowName(windows, { width, center }) {
  const text = `${width}/${center}`;
  return windows.find((window) => window.text === text)?.name ?? text;
}
