// ---- tables: a head sorts, a row of the ledger and a Hausdorff distance jump to their slice -----
// The rows are Python's; listeners stand on the component, so they stay when Python sends other rows.

const keyed = () => element.querySelector("table[data-key]");
const link = createLink({ key: () => keyed()?.dataset.key ?? null, hear: () => {} });

const valueOf = (row, column) => {
  const value = row.cells[column].dataset.value;
  return value === undefined || value === "" ? null : Number(value);
};

// First the better direction, then the other; what is n/a stands last either way.
function sortBy(button) {
  const head = button.closest("th"), table = button.closest("table");
  const column = Number(button.dataset.column);
  const first = button.dataset.better === "lower" ? "ascending" : "descending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  for (const one of table.querySelectorAll("th[aria-sort]")) one.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", order);
  const body = table.tBodies[0];
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [valueOf(a, column), valueOf(b, column)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x - y);
  });
  body.append(...rows);
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-column]");
  if (button) sortBy(button);
  const place = event.target.closest("[data-slice]");
  if (!place) return;
  const { slice, x, y, witness } = place.dataset;
  link.tell({ k: Number(slice), at: { x: Number(x), y: Number(y) }, witness, reveal: true });
  for (const row of place.closest("tbody").rows) row.toggleAttribute("data-here", row === place);
});
