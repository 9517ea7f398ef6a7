// Which tasks are listed, and in which order.

const ANY = { origin: "0", iteration: "", fate: "", label: "", steps: "", topic: "", set: "", calls: "", low: "", high: "", text: "", order: "" };
const CALLS = [["", "any"], ["0", "none"], ["1", "up to 1"], ["2", "1 to 2"], ["3", "2 to 3"], ["4", "more than 3"]];
const ORDERS = [["", "as written"], ["sure", "agreement, high first"], ["unsure", "agreement, low first"], ["calls", "tool calls"], ["steps", "steps"], ["length", "length"]];
const filters = { ...ANY };
let haystack = null;  // what a search looks through, one lower-case text per task

function searched() {
  if (!haystack) {
    haystack = Array.from({ length: tasks.n }, (_, i) => [tasks.question[i], tasks.label[i], tasks.truth[i], tasks.task_id[i], tasks.topic[i], ...tasks.counts[i].map(([answer]) => answer)].join("\n").toLowerCase());
  }
  return haystack;
}

const CHECKS = {
  origin: (wanted) => (i) => tasks.origin[i] === Number(wanted),
  iteration: (wanted) => (i) => tasks.iteration[i] === Number(wanted),
  fate: (wanted) => (i) => (wanted === "kept" ? tasks.kept[i] === 1 : wanted === "left" ? tasks.kept[i] === 0 : tasks.reason[i] === wanted),
  label: (wanted) => (i) => (wanted === "none" ? !known(tasks.label[i]) : known(tasks.label[i]) && tasks.right[i] === (wanted === "right" ? 1 : 0)),
  steps: (wanted) => (i) => tasks.steps[i] === Number(wanted),
  topic: (wanted) => (i) => tasks.topic[i] === wanted,
  set: (wanted) => (i) => tasks.set[i] === wanted,
  calls: (wanted) => (i) => known(tasks.tool_calls[i]) && Math.min(Math.ceil(tasks.tool_calls[i] - 1e-9), 4) === Number(wanted),
  low: (wanted) => (i) => known(shareOf(i)) && shareOf(i) >= Number(wanted) - 1e-9,
  high: (wanted) => (i) => known(shareOf(i)) && shareOf(i) <= Number(wanted) + 1e-9,
  text: (wanted) => {
    const [texts, words] = [searched(), wanted.toLowerCase().split(/\s+/).filter(Boolean)];
    return (i) => words.every((word) => texts[i].includes(word));
  },
};

const VALUES = {
  sure: (i) => -(shareOf(i) ?? -1), unsure: (i) => shareOf(i) ?? 2, calls: (i) => -(tasks.tool_calls[i] ?? -1),
  steps: (i) => -(tasks.steps[i] ?? -1), length: (i) => -tasks.question[i].length,
};

// Places of the tasks that pass every filter, in the wanted order; equal ones stay as they were written.
function found() {
  const checks = Object.entries(CHECKS).filter(([name]) => filters[name] !== "").map(([name, check]) => check(filters[name]));
  const places = [];
  const last = checks.length - 1;
  for (let i = 0, n = 0; i < tasks.n; i += 1) {
    for (n = 0; n <= last && checks[n](i); n += 1);
    if (n > last) places.push(i);
  }
  if (!filters.order) return places;
  const value = new Float64Array(tasks.n);
  for (const i of places) value[i] = VALUES[filters.order](i);
  return places.sort((a, b) => value[a] - value[b] || a - b);
}

const choice = (name, options) => el("select", { id: `filter-${name}` }, options);
const option = ([value, text]) => el("option", { value }, text);

function different(column) {
  const values = new Set();
  for (let i = 0; i < tasks.n; i += 1) if (tasks.origin[i] === Number(filters.origin) && known(tasks[column][i])) values.add(tasks[column][i]);
  return [...values].sort((a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true })));
}

function choices() {
  const written = filters.origin === "0";
  const plain = (values) => [["", "all"], ...values.map((value) => [String(value), visible(String(value)) || "none"])];
  const reasons = different("reason").filter((reason) => reason !== "kept");
  return {
    iteration: [["", "all"], ...different("iteration").map((t) => [String(t), t || written ? String(t) : "base"])],
    fate: written ? [["", "all"], ["kept", "kept"], ["left", "not kept"], ...reasons.map((reason) => [reason, `– ${tasks.reasons[reason]}`])] : null,
    label: [["", "all"], ["right", "right"], ["wrong", "wrong"], ["none", "none"]],
    steps: written ? plain(different("steps")) : null,
    topic: written ? plain(different("topic")) : null,
    set: written ? null : plain(different("set")),
    calls: CALLS,
    order: ORDERS.filter(([value]) => written || value !== "steps"),
  };
}

// Put the choices that the tasks offer into the form, and the filters as they stand.
function fillForm() {
  for (const [name, options] of Object.entries(choices())) {
    const select = byId(`filter-${name}`);
    select.closest("label").hidden = !options;
    select.replaceChildren(...(options ?? [["", "all"]]).map(option));
    if (!(options ?? []).some(([value]) => value === filters[name])) filters[name] = "";
  }
  for (const [name, value] of Object.entries(filters)) {
    const node = byId(`filter-${name}`);
    if (name === "origin") for (const button of node.children) button.setAttribute("aria-pressed", String(button.value === value));
    else if (node.value !== value) node.value = value;
  }
  byId("share-name").textContent = filters.origin === "0" ? "p̂" : "share right";
  byId("label-name").textContent = filters.origin === "0" ? "Label" : "Majority";
}

function setFilters(wanted) {
  Object.assign(filters, wanted);
  fillForm();
  listTasks();
}

function originSwitch() {
  const button = (value, text) => el("button", { type: "button", value, onclick: () => setFilters({ ...ANY, origin: value, text: filters.text }) }, text);
  return el("div", { class: "switch", id: "filter-origin", role: "group", "aria-label": "Which tasks" }, button("0", "Training tasks"), button("1", "Held-out problems"));
}

function filterForm() {
  const bound = (name, hint) => el("input", { type: "number", id: `filter-${name}`, min: 0, max: 1, step: 0.05, placeholder: hint, inputmode: "decimal", "aria-label": name === "low" ? "at least" : "at most" });
  const field = (label, node, more = {}) => el("label", more, el("span", label.id ? { id: label.id } : {}, label.text ?? label), node);
  const form = el("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
    field("Search", el("input", { type: "search", id: "filter-text", placeholder: "words, numbers, an answer" }), { class: "grow" }),
    field("Iteration", choice("iteration", [])), field("Gate", choice("fate", [])), field({ id: "label-name", text: "Label" }, choice("label", [])),
    field("Set", choice("set", [])), field("Steps", choice("steps", [])), field("Topic", choice("topic", [])), field("Tool calls", choice("calls", [])),
    el("fieldset", {}, el("legend", { id: "share-name" }, "p̂"), bound("low", "0"), el("span", {}, "to"), bound("high", "1")),
    field("Order", choice("order", [])),
    el("button", { type: "button", class: "quiet", onclick: () => setFilters({ ...ANY, origin: filters.origin }) }, "Clear"));
  form.addEventListener("input", ({ target }) => {
    const name = target.id.replace("filter-", "");
    filters[name] = target.validity.badInput ? "" : target.value;
    listTasks();
  });
  return form;
}
