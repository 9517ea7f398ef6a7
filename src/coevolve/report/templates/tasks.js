// The list of tasks: only the rows that can be seen are part of the page, however many there are.

const ROW = 76;  // height of a row in CSS pixels, see .row
const AROUND = 6;  // rows kept above and below the visible ones

let listed = [];  // places of the tasks in the list
let current = -1;  // position in the list of the task that is open, -1 for none
let openTask = -1;  // place of the task that is open, also when the list does not hold it
let openKey = null;  // what it is called, by which new data finds it again

function verdict(i) {
  const [label, right] = [tasks.label[i], tasks.right[i]];
  if (tasks.origin[i] === HELD_OUT) return el("span", { class: "verdict" }, `${count(tasks.samples_right[i])} of ${count(tasks.k[i])} right`);
  if (!known(label)) return el("span", { class: "verdict open" }, "no label");
  if (!known(right)) return el("span", { class: "verdict open" }, "truth unknown");
  return el("span", { class: `verdict ${right ? "right" : "wrong"}`, title: "known to the meter only" }, right ? "✓ right" : "✕ wrong");
}

function taskRow(position) {
  const i = listed[position];
  const share = shareOf(i);
  const place = tasks.origin[i] === WRITTEN ? `${tasks.fate[i]} · iteration ${tasks.iteration[i]}` : `${tasks.set[i] ?? ""} · ${tasks.iteration[i] ? `iteration ${tasks.iteration[i]}` : "base model"}`;
  return el("div", { class: "row", role: "option", id: `row-${position}`, "aria-selected": String(position === current), "aria-posinset": position + 1, "aria-setsize": listed.length, style: `top:${position * ROW}px`, onclick: () => openAt(position, true) },
    el("span", { class: "share" }, known(share) ? number(share) : "–", el("i", {}, el("b", { style: `width:${100 * (share ?? 0)}%` }))),
    el("span", { class: "fate" }, visible(place)), verdict(i),
    el("span", { class: "asked" }, spelled(tasks.question[i].slice(0, 240))));
}

function drawRows() {
  const list = byId("list");
  const from = Math.max(0, Math.floor(list.scrollTop / ROW) - AROUND);
  const to = Math.min(listed.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + AROUND);
  byId("runway").style.height = `${listed.length * ROW}px`;
  byId("runway").replaceChildren(...Array.from({ length: Math.max(to - from, 0) }, (_, n) => taskRow(from + n)));
  if (current >= from && current < to) list.setAttribute("aria-activedescendant", `row-${current}`);
  else list.removeAttribute("aria-activedescendant");
}

function showRow(position) {
  const list = byId("list");
  const [top, height] = [position * ROW, list.clientHeight];
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + ROW > list.scrollTop + height) list.scrollTop = top + ROW - height;
}

// Open the task at a position of the list; `go` moves the view to it where it is not beside the list.
function openAt(position, go = false) {
  current = position;
  openTask = listed[position];
  openKey = keyOf(openTask);
  showRow(position);
  drawRows();
  showDetail(listed[position]);
  if (go && byId("detail").offsetTop > byId("list").offsetTop + byId("list").offsetHeight / 2) byId("detail").scrollIntoView({ block: "start" });
}

function listKeys(event) {
  const page = Math.max(1, Math.floor(byId("list").clientHeight / ROW) - 1);
  const to = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + page, PageUp: current - page, Home: 0, End: listed.length - 1 }[event.key];
  if (to !== undefined && listed.length) {
    event.preventDefault();
    openAt(Math.min(Math.max(to, 0), listed.length - 1));
  } else if (event.key === "Enter" && current >= 0) {
    byId("detail").focus();
  }
}

// List what the filters find. What is open stays open, unless `fresh` asks for the first one that was found.
function listTasks(fresh = true) {
  listed = found();
  const same = listed.indexOf(openTask);
  byId("found").textContent = `${count(listed.length)} of ${count(tasks.count[Number(filters.origin)])} ${filters.origin === "0" ? "tasks" : "held-out problems"}`;
  byId("nothing").hidden = listed.length > 0;
  current = same;
  if (fresh) byId("list").scrollTop = Math.max(0, same) * ROW;
  drawRows();
  if (fresh && same < 0) {
    if (listed.length) openAt(0);
    else closeDetail();
  }
}

// Called by the figures: show the tasks behind a mark.
function showTasks(wanted) {
  if (!byId("list")) return;
  setFilters({ ...ANY, ...wanted });
  byId("tasks").scrollIntoView();
  byId("found").focus({ preventScroll: true });
}

function taskBrowser() {
  haystack = null;
  if (!tasks.n) {
    byId("browser").replaceChildren(el("p", { class: "empty" }, "No task is finished yet."));
    return;
  }
  if (!tasks.origin.includes(Number(filters.origin))) filters.origin = String(tasks.origin[0]);
  const list = el("div", { class: "list", id: "list", role: "listbox", tabindex: 0, "aria-label": "Tasks", onkeydown: listKeys }, el("div", { id: "runway" }));
  byId("browser").replaceChildren(originSwitch(), filterForm(),
    el("p", { class: "found", id: "found", tabindex: -1, role: "status" }),
    el("div", { class: "browse" },
      el("div", { class: "pane" }, list, el("p", { class: "empty", id: "nothing", hidden: true }, "No task fits these filters.")),
      el("div", { class: "detail", id: "detail", tabindex: -1, role: "region", "aria-label": "The open task" })),
    ...(tasks.left_out ? [el("p", { class: "found" }, tasks.left_out)] : []));
  list.addEventListener("scroll", () => requestAnimationFrame(drawRows), { passive: true });
  new ResizeObserver(() => requestAnimationFrame(drawRows)).observe(list);
  fillForm();
  listTasks();
}

// After new tasks: the same filters and the same open task; before there were any, a new browser.
function refreshTasks() {
  if (!byId("list")) { taskBrowser(); return; }
  haystack = null;
  openTask = tasks.task_id.findIndex((_, i) => keyOf(i) === openKey);
  fillForm();
  listTasks(false);
}
