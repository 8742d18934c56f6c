// ---- tables: a head sorts, a row of the ledger jumps to its slice ------------------------------------------
// The rows are Python's; listeners stand on the component, so they stay when Python sends other rows.

const ledger = () => element.querySelector("table[data-key]");
const link = createLink({ key: () => ledger()?.dataset.key ?? null, hear: () => {} });

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
  const row = event.target.closest("tr[data-slice]");
  if (!row) return;
  const { slice, x, y } = row.dataset;
  link.tell({ k: Number(slice), at: { x: Number(x), y: Number(y) } });
  for (const one of row.parentElement.rows) one.toggleAttribute("data-here", one === row);
});
