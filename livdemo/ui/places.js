// ---- places: a model's row leads to its card, a card to its row, and the list of cards is filtered here ----------

const PATIENCE_MS = 15000; // a place fills itself when it is first opened

// The tab is pressed as a visitor would, so that the place is filled; then act(node) once its content can be seen.
function visit(place, selector, act) {
  document.getElementById(`${place}-button`)?.click();
  const until = performance.now() + PATIENCE_MS;
  (function look() {
    const node = document.querySelector(selector);
    if (node && node.offsetParent !== null) act(node);
    else if (performance.now() < until) requestAnimationFrame(look);
  })();
}

function show(node) {
  if (!node) return; // a model that the results do not list
  for (let up = node; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
  node.scrollIntoView({ block: "start" });
  node.focus({ preventScroll: true });
}

function filterBy(list, paper) {
  for (const button of list.querySelectorAll("button[data-paper]")) {
    button.setAttribute("aria-pressed", String(button.dataset.paper === paper));
  }
  let count = 0;
  for (const card of list.querySelectorAll("details[data-paper]")) {
    card.hidden = paper !== "" && card.dataset.paper !== paper;
    count += !card.hidden;
  }
  list.querySelector(".count").textContent = `${count} ${count === 1 ? "model" : "models"}`;
}

element.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-card], a[data-row], button[data-paper]");
  if (!link) return;
  event.preventDefault();
  const { card, row, paper } = link.dataset;
  if (paper !== undefined) filterBy(link.closest(".models"), paper);
  else if (row) visit("results", ".results", (page) => show(page.querySelector(`table [data-card="${row}"]`)));
  else
    visit("models", ".models", (list) => {
      filterBy(list, "");
      show(list.querySelector(`#model-${card} > summary`));
    });
});
