// ---- language: the page in another language, translated where it is shown -----------------------------------
// Python, viewer.js and gradio all write English. A catalogue of phrases is laid over it in the browser: text nodes
// and attributes change in place, since Svelte holds on to its nodes, and keep their English to go back to.
// language.py puts the list of languages in and says what a phrase of the catalogue looks like.

(() => {
const LANGUAGES = {/*languages*/};  // "de" -> path of its catalogue on the server; English needs none
const STORED = "livdemo-language";
const PICKER = "#language";
const ATTRIBUTES = ["title", "aria-label", "aria-valuetext", "aria-roledescription", "alt", "placeholder", "data-title"];
const KEPT = "[lang]:not(html), [translate=no]";  // as they are in every language
const VERBATIM = `script, style, code, pre, ${KEPT}`;
const FIELDS = "input[readonly][role=combobox]";  // of dropdowns in which nothing can be typed
const NUMBER = /(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?!\w)/g;
const LETTERS = /\p{L}{2}/u;
const SEPARATORS = [/(\n+)/, /(\s+·\s+)/];
const SENTENCES = /((?<=[.?)])\s+(?=[\p{Lu}★(]))/u;

// -- phrases

const tidy = (text) => text.replace(/\s+/g, " ").trim();

// "{title}: slice {} of {}" as an expression: {} is a number, {name} any words.
function patternOf(phrase, translation) {
  const names = [];
  const source = phrase.replace(/[.*+?^$()|[\]\\]|\{(\w*)\}/g, (found, name) => {
    if (name === undefined) return `\\${found}`;
    names.push(name);
    return name ? "(.+?)" : `(${NUMBER.source})`;
  });
  const literal = phrase.replace(/\{\w*\}/g, "").length;
  return { names, translation, literal, expression: new RegExp(`^${source}$`) };
}

function createCatalogue(phrases) {
  const exact = new Map(Object.entries(phrases));
  const patterns = [...exact].filter(([phrase]) => /\{\w+\}/.test(phrase) || /\{\}/.test(phrase) && /\d/.test(phrase))
    .map(([phrase, translation]) => patternOf(phrase, translation))
    .sort((a, b) => b.literal - a.literal);  // the one that says most first
  const unknown = new Set();  // shapes that nothing fits, so that they are asked once
  const fitting = new Map();  // shape -> the pattern that fits: what changes at every slice is not searched again

  function byPattern(phrase, shape) {
    for (const pattern of fitting.has(shape) ? [fitting.get(shape)] : patterns) {
      const { expression, names, translation } = pattern;
      const found = phrase.match(expression)?.slice(1);
      if (!found) continue;
      fitting.set(shape, pattern);
      const numbers = found.filter((_, i) => names[i] === "");
      return translation.replace(/\{(\w*)\}/g, (_, name) => {
        if (!name) return numbers.shift();
        const words = found[names.indexOf(name)];
        return translate(words) ?? words;
      });
    }
    return null;
  }

  // The parts around a separator one by one; null where none of them is known, or, if `whole`, not all are.
  function byParts(text, separator, whole = false) {
    const parts = text.split(separator);
    if (parts.length < 2) return null;
    const found = parts.map((part, i) => (i % 2 || !LETTERS.test(part) ? part : translate(part)));
    const known = found.filter((part, i) => part !== null && LETTERS.test(parts[i])).length;
    if (!known || (whole && found.includes(null))) return null;
    return found.map((part, i) => part ?? parts[i]).join("");
  }

  // The translation of a text, or null where the catalogue has none.
  function translate(text) {
    if (!LETTERS.test(text)) return null;
    const phrase = tidy(text);
    if (exact.has(phrase)) return exact.get(phrase);
    const numbers = [];
    const shape = phrase.replace(NUMBER, (number) => {
      numbers.push(number);
      return "{}";
    });
    if (numbers.length && exact.has(shape)) return exact.get(shape).replace(/\{\}/g, () => numbers.shift());
    if (unknown.has(shape)) return null;
    if (fitting.has(shape)) return byPattern(phrase, shape);
    const found = SEPARATORS.reduce((before, separator) => before ?? byParts(text.trim(), separator), null)
      ?? byParts(phrase, SENTENCES, true) ?? byPattern(phrase, shape) ?? byParts(phrase, SENTENCES);
    if (found === null) unknown.add(shape);
    return found;
  }

  return { translate };
}

// -- the page

let catalogue = null;  // null: the page stays in English
const texts = new WeakMap();       // text node -> {english, shown}
const attributes = new WeakMap();  // element -> {name: {english, shown}}
const fields = new WeakMap();      // input -> {english, shown}

function translated(text) {
  const found = catalogue.translate(text);
  return found === null ? null : text.match(/^\s*/)[0] + found + text.match(/\s*$/)[0];
}

function showText(node) {
  if (texts.get(node)?.shown === node.data || !LETTERS.test(node.data)) return;
  if (!node.parentElement || node.parentElement.closest(VERBATIM)) return;
  const shown = translated(node.data);
  if (shown === null) return;
  texts.set(node, { english: node.data, shown });
  node.data = shown;
}

function showAttribute(element, name) {
  const english = element.getAttribute(name);
  const held = attributes.get(element) ?? {};
  if (!english || held[name]?.shown === english || element.closest(KEPT)) return;
  const shown = translated(english);
  if (shown === null) return;
  attributes.set(element, { ...held, [name]: { english, shown } });
  element.setAttribute(name, shown);
}

// What a dropdown shows is its field's value, of which no observer is told: so all of them, whenever anything changes.
function showFields() {
  for (const field of document.querySelectorAll(FIELDS)) {
    const english = field.value;
    if (fields.get(field)?.shown === english || field.closest(KEPT)) continue;
    const shown = translated(english);
    if (shown === null) continue;
    fields.set(field, { english, shown });
    field.value = shown;
  }
}

// onText(node) and onAttribute(element, name) for everything in and below `root`.
function walk(root, onText, onAttribute) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = root; node; node = walker.nextNode()) {
    if (node.nodeType === Node.TEXT_NODE) onText(node);
    else if (node.nodeType === Node.ELEMENT_NODE) {
      for (const name of ATTRIBUTES) if (node.hasAttribute(name)) onAttribute(node, name);
    }
  }
}

function backToEnglish() {
  const text = (node) => {
    const held = texts.get(node);
    if (held?.shown === node.data) node.data = held.english;
  };
  const attribute = (element, name) => {
    const held = attributes.get(element)?.[name];
    if (held?.shown === element.getAttribute(name)) element.setAttribute(name, held.english);
  };
  walk(document.body, text, attribute);
  for (const field of document.querySelectorAll(FIELDS)) {
    const held = fields.get(field);
    if (held?.shown === field.value) field.value = held.english;
  }
}

const observer = new MutationObserver((records) => {
  for (const { type, target, attributeName, addedNodes } of records) {
    if (type === "characterData") showText(target);
    else if (type === "attributes") showAttribute(target, attributeName);
    else for (const node of addedNodes) if (node.isConnected) walk(node, showText, showAttribute);
  }
  showFields();
  if (document.querySelector(PICKER)?.value !== language) showChoice();
  observer.takeRecords();  // what was written here is no news, so there can be no loop
});

// -- the choice

let language = "en";
const catalogues = new Map();  // fetched once

async function read(code) {
  if (!catalogues.has(code)) {
    const { root = "", api_prefix: prefix = "/gradio_api" } = globalThis.gradio_config ?? {};
    const response = await fetch(`${root}${prefix}/file=${LANGUAGES[code]}`);
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    catalogues.set(code, createCatalogue(await response.json()));
  }
  return catalogues.get(code);
}

function showChoice() {
  const picker = document.querySelector(PICKER);
  if (picker) picker.value = language;
}

function show(code, found) {
  observer.disconnect();
  if (catalogue) backToEnglish();
  [language, catalogue] = [code, found];
  document.documentElement.lang = code;
  showChoice();
  if (catalogue) {
    walk(document.body, showText, showAttribute);
    showFields();
    observer.observe(document.body, {
      subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES,
    });
  }
  globalThis.dispatchEvent(new Event("resize"));  // tabs are measured anew: other words, other widths
}

async function choose(code) {
  try {
    show(code, LANGUAGES[code] ? await read(code) : null);
  } catch (error) {
    console.warn(`The language ${code} could not be read (${error.message}); the page stays as it is.`);
    showChoice();
  }
}

function firstChoice() {
  const wanted = [new URLSearchParams(location.search).get("lang"), localStorage.getItem(STORED), navigator.language];
  const codes = wanted.map((one) => one?.slice(0, 2).toLowerCase());
  return codes.find((code) => code === "en" || LANGUAGES[code]) ?? "en";
}

document.addEventListener("change", ({ target }) => {
  if (!target.matches?.(PICKER)) return;
  localStorage.setItem(STORED, target.value);
  choose(target.value);
});

// For words that are drawn on a canvas, where no node can be changed; redraw them when <html lang> changes.
globalThis.livdemoWord = (text) => catalogue?.translate(text) ?? text;

// gradio's own translations set <html lang> to the browser's language whenever they are ready, early or late.
new MutationObserver(() => {
  if (document.documentElement.lang !== language) document.documentElement.lang = language;
}).observe(document.documentElement, { attributeFilter: ["lang"] });

const start = () => choose(firstChoice());
if (document.body) start();
else document.addEventListener("DOMContentLoaded", start);
})();
