// ---- copy_link: the button, and what it says afterwards ----------------------------------------------------
// A press has the address made (link_address.js); it comes back in the value, is copied, and stays to be read.

const find = (name) => element.querySelector(`.cl-${name}`);
const button = find("button"), field = find("address"), said = find("said"), shown = find("shown");
let last = 0;

// Pages that are not served over https have no clipboard, but may copy what is selected.
async function copy(address) {
  try {
    await navigator.clipboard.writeText(address);
    return true;
  } catch {
    field.select();
    return document.execCommand("copy");
  }
}

async function show() {
  const { address, at } = props.value ?? {};
  if (!at) return close();  // another case
  if (at === last) return;
  last = at;
  shown.hidden = false;
  field.hidden = !address;
  field.value = address;
  if (!address) said.textContent = "A CT of your own has no link: it is yours alone.";
  else said.textContent = (await copy(address)) ? "Link copied." : "Copy this address:";
}

function close() {
  shown.hidden = true;
}

button.addEventListener("click", () => {
  button.focus();  // Safari does not by itself, and then nothing would ever lose the focus
  trigger('copylink');
});
field.addEventListener("focus", () => field.select());
if (element.querySelector(".cl-over")) {
  element.addEventListener("keydown", (event) => event.key === "Escape" && close());
  element.addEventListener("focusout", ({ relatedTarget }) => element.contains(relatedTarget) || close());
}
watch("value", show);
