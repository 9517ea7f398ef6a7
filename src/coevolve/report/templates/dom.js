// Elements, numbers and the parts that every figure shares. Text from models only ever becomes a text node.

const SVG = "http://www.w3.org/2000/svg";

function put(parent, children) {
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) {
      parent.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }
  return parent;
}

function apply(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  return node;
}

// Characters that cannot be seen or that turn the order of others: controls, bidirectional marks, halves of pairs.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function nameOf(character) {
  const code = character.charCodeAt(0);
  if (code < 32) return String.fromCharCode(0x2400 + code);
  return code === 127 ? "\u2421" : `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}

// A text in which every unseen character is replaced by its name.
const visible = (text) => text.replace(UNSEEN, (character) => `⟨${nameOf(character)}⟩`);

// The same as nodes, with the names set apart from what was written.
function spelled(text) {
  const nodes = [];
  let from = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > from) nodes.push(text.slice(from, match.index));
    nodes.push(el("span", { class: "unseen", title: `U+${match[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}` }, nameOf(match[0])));
    from = match.index + match[0].length;
  }
  if (from < text.length) nodes.push(text.slice(from));
  return nodes;
}

const el = (name, attributes = {}, ...children) => put(apply(document.createElement(name), attributes), children);
const svg = (name, attributes = {}, ...children) => put(apply(document.createElementNS(SVG, name), attributes), children);
const byId = (id) => document.getElementById(id);
const known = (value) => value !== null && value !== undefined;

// Digits as Python writes them, where a tie goes to the even digit: the page and the command line show the same.
function fixed(value, digits) {
  const scaled = value * 10 ** digits;
  const tie = Math.abs(scaled - Math.trunc(scaled)) === 0.5;
  return ((tie ? 2 * Math.round(scaled / 2) : Math.round(scaled)) / 10 ** digits).toFixed(digits);
}

const percent = (value, digits = 1) => (known(value) ? `${fixed(100 * value, digits)}\u00a0%` : "–");
const number = (value, digits = 2) => (known(value) ? fixed(value, digits) : "–");
const count = (value) => (known(value) ? Math.round(value).toLocaleString("en") : "–");
const seconds = (value) => (value >= 90 ? `${Math.floor(value / 60)} min ${String(Math.round(value % 60)).padStart(2, "0")} s` : `${number(value, value < 10 ? 1 : 0)} s`);

function showTip(text, x, y) {
  const tip = byId("tip");
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, x - box.width / 2), window.innerWidth - box.width - 8);
  tip.style.left = `${left}px`;
  tip.style.top = `${y - box.height - 12 < 0 ? y + 16 : y - box.height - 12}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

// A mark of a figure: says its value on hover and focus; with `act` it is a button.
function mark(text, act, ...shapes) {
  const node = svg("g", { class: act ? "mark link" : "mark", tabindex: 0, role: act ? "button" : "img", "aria-label": text.replace(/\n/g, ", ") }, ...shapes);
  const show = () => {
    const box = node.getBoundingClientRect();
    showTip(act ? `${text}\nClick to see the tasks` : text, box.left + box.width / 2, box.top);
  };
  node.addEventListener("mouseenter", show);
  node.addEventListener("focus", show);
  node.addEventListener("mouseleave", hideTip);
  node.addEventListener("blur", hideTip);
  if (act) {
    node.addEventListener("click", () => { hideTip(); act(); });
    node.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") { event.preventDefault(); hideTip(); act(); }
    });
  }
  return node;
}

function table(head, rows) {
  return el("table", {}, el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell))))));
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // a page opened from a file may not reach the clipboard that way
    const area = el("textarea", { style: "position:fixed;opacity:0" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

// A figure with its caption, its plot drawn for the width there is, and its numbers one click away.
function figure({ title, note, head, rows, draw, wide = "" }) {
  const plot = el("div", { class: "plot" });
  const frame = el("figure", { class: wide, "data-title": title });
  const button = el("button", { type: "button", class: "quiet", "aria-expanded": "false" }, "Data");
  put(frame, [el("figcaption", {}, el("b", {}, title), rows.length ? button : null, note ? el("span", {}, note) : null), plot]);
  if (!rows.length) {
    put(plot, [el("p", { class: "empty" }, "Not measured yet")]);
    return frame;
  }
  let open = null;
  button.addEventListener("click", () => {
    if (open) { open.remove(); open = null; } else { open = dataTable(head, rows); frame.append(open); }
    button.setAttribute("aria-expanded", String(Boolean(open)));
  });
  let width = 0;
  const redraw = () => {
    if (!plot.clientWidth || Math.abs(plot.clientWidth - width) < 2) return;
    width = plot.clientWidth;
    plot.replaceChildren(draw(width));
  };
  queueMicrotask(redraw); // by then it is part of the page: nobody sees, prints or saves it empty
  new ResizeObserver(() => requestAnimationFrame(redraw)).observe(plot);
  return frame;
}

// Figures whose numbers are open, by title, so that they are open again after a redraw.
const openFigures = () => [...document.querySelectorAll("figure:has(.data)")].map((frame) => frame.dataset.title);

function reopenFigures(titles) {
  for (const frame of document.querySelectorAll("figure[data-title]")) {
    if (titles.includes(frame.dataset.title)) frame.querySelector("figcaption button")?.click();
  }
}

const csvCell = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const csv = (rows) => rows.map((row) => row.map((cell) => csvCell(known(cell) ? String(cell) : "")).join(",")).join("\n");

function dataTable(head, rows) {
  const copy = el("button", { type: "button", class: "quiet" }, "Copy as CSV");
  copy.addEventListener("click", async () => {
    await copyText(csv([head, ...rows]));
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy as CSV"; }, 1500);
  });
  return el("div", { class: "data", tabindex: 0, role: "region", "aria-label": "Data of the figure" }, copy,
    table(head, rows.map((row) => row.map((cell) => (typeof cell === "number" ? String(+cell.toPrecision(6)) : known(cell) ? cell : "–")))));
}
