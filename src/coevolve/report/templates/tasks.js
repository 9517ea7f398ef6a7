// The task browser: filters, a list, and the trajectories of one task side by side.

const PAGE = 40;
const ANY = { iteration: "", fate: "", label: "", steps: "", low: "", high: "", text: "" };
const OUTSIDE = "outside the gate";
const FATES = { no_answer: "no answer", duplicate: "written before", reserved: "a held-out problem" };
const filters = { ...ANY };
let shownTasks = PAGE;

function fate(task) {
  if (task.kept) return "kept";
  if (task.reason === OUTSIDE) return task.p_hat < data.gates[task.iteration][0] ? "too unsure" : "too easy";
  return FATES[task.reason] ?? task.reason ?? "left out";
}
const values = (key) => [...new Set(data.tasks.map((task) => task[key]).filter(known))].sort((a, b) => a - b);

function matches(task) {
  const { iteration, fate: kept, label, steps, low, high, text } = filters;
  return (!iteration || String(task.iteration) === iteration)
    && (!kept || (kept === "kept" ? task.kept : kept === "left" ? !task.kept : task.reason === kept))
    && (!label || (label === "right" ? task.right === true : label === "wrong" ? task.right === false && known(task.label) : !known(task.label)))
    && (!steps || String(task.steps) === steps)
    && (low === "" || (known(task.p_hat) && task.p_hat >= Number(low) - 1e-9))
    && (high === "" || (known(task.p_hat) && task.p_hat <= Number(high) + 1e-9))
    && (!text || `${task.question} ${task.label ?? ""} ${task.truth ?? ""} ${task.task_id} ${task.topic ?? ""}`.toLowerCase().includes(text.toLowerCase()));
}

// Called by the figures: show the tasks behind a mark.
function showTasks(wanted) {
  Object.assign(filters, ANY, wanted);
  for (const [name, value] of Object.entries(filters)) byId(`filter-${name}`).value = value;
  listTasks();
  byId("tasks").scrollIntoView();
  byId("found").focus({ preventScroll: true });
}

function control(name, label, node, extra = "") {
  apply(node, { id: `filter-${name}`, oninput: () => { filters[name] = node.value; listTasks(); } });
  return el("label", { class: extra }, label, node);
}

const choice = (options) => el("select", {}, options.map(([value, text]) => el("option", { value }, text)));

function filterForm() {
  const reasons = [...new Set(data.tasks.filter((task) => !task.kept && task.reason).map((task) => task.reason))];
  const bound = (value) => el("input", { type: "number", min: 0, max: 1, step: 0.05, placeholder: value });
  return el("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
    control("iteration", "Iteration", choice([["", "all"], ...values("iteration").map((t) => [t, t])])),
    control("fate", "Gate", choice([["", "all"], ["kept", "kept"], ["left", "not kept"], ...reasons.map((reason) => [reason, `  ${FATES[reason] ?? reason}`])])),
    control("label", "Label", choice([["", "all"], ["right", "right"], ["wrong", "wrong"], ["none", "none"]])),
    control("steps", "Steps", choice([["", "all"], ...values("steps").map((n) => [n, n])])),
    control("low", "p̂ from", bound("0"), "short"), control("high", "p̂ to", bound("1"), "short"),
    control("text", "Search", el("input", { type: "search", placeholder: "words, numbers, an answer" }), "grow"),
    el("button", { type: "button", class: "quiet", onclick: () => { Object.assign(filters, ANY); for (const name of Object.keys(ANY)) byId(`filter-${name}`).value = ""; listTasks(); } }, "Clear"));
}

function verdict(task) {
  if (!known(task.label)) return el("span", { class: "verdict open" }, "no label");
  if (!known(task.right)) return el("span", { class: "verdict open" }, "truth unknown");
  return el("span", { class: `verdict ${task.right ? "right" : "wrong"}`, title: "known to the meter only" }, task.right ? "✓ right" : "✕ wrong");
}

function taskRow(task) {
  const row = el("li", {});
  const share = known(task.p_hat) ? task.p_hat : 0;
  const button = el("button", { type: "button", class: "task", "aria-expanded": "false" },
    el("span", { class: "phat" }, known(task.p_hat) ? `p̂ ${number(task.p_hat)}` : "p̂ –", el("i", {}, el("b", { style: `width:${100 * share}%` }))),
    el("span", { class: "asked" }, task.question),
    el("span", { class: "fate" }, `${fate(task)} · it. ${task.iteration}`), verdict(task));
  let open = null;
  button.addEventListener("click", () => {
    if (open) { open.remove(); open = null; } else { open = taskDetail(task); row.append(open); }
    button.setAttribute("aria-expanded", String(Boolean(open)));
  });
  row.append(button);
  return row;
}

function voteBar(task) {
  const missing = task.k - task.counts.reduce((sum, [, votes]) => sum + votes, 0);
  const parts = task.counts.map(([answer, votes], i) => el("span", { class: `v${Math.min(i, 5)}`, style: `flex:${votes}`, title: `${answer}: ${votes} of ${task.k}` }, `${answer} × ${votes}`));
  if (missing > 0) parts.push(el("span", { class: "missing", style: `flex:${missing}`, title: `no answer: ${missing} of ${task.k}` }, `none × ${missing}`));
  return el("div", { class: "votes", role: "img", "aria-label": `Votes: ${task.counts.map(([answer, votes]) => `${answer} ${votes} times`).join(", ")}` }, parts);
}

function taskDetail(task) {
  const fact = (name, value) => (known(value) && value !== "" ? el("span", {}, `${name} `, el("b", {}, value)) : null);
  return el("div", { class: "detail" },
    el("p", { class: "facts" }, fact("label", task.label), known(task.truth) ? el("span", { class: "truth" }, "truth ", el("b", {}, task.truth), " (known to the meter only)") : null,
      fact("gate", fate(task)), fact("steps", task.steps), fact("topic", task.topic), fact("tool calls", known(task.tool_calls) ? number(task.tool_calls, 1) : null),
      fact("first executor passes", known(task.first) ? percent(task.first, 0) : null), fact("own answer", task.proposed_answer), task.tied ? el("span", {}, "tied vote") : null, fact("id", task.task_id)),
    task.counts.length || task.k ? voteBar(task) : null,
    task.trajectories.length ? el("div", { class: "answers" }, task.trajectories.map(trajectory)) : el("p", { class: "empty" }, task.answered ? "The trajectories of this task are in the run folder." : "No trajectories were kept of this task."),
    task.trajectories.length && task.answered > task.trajectories.length ? el("p", { class: "found" }, `${task.answered - task.trajectories.length} more in the run folder.`) : null,
    task.answered && task.k > task.answered ? el("p", { class: "found" }, `The vote also counts ${task.k - task.answered} answers of earlier executors, which are not stored.`) : null);
}

const STOPS = { eos: "", length: "out of tokens", turns: "out of turns", protocol: "forged output", infrastructure: "sandbox lost" };

function trajectory(sample) {
  const calls = sample.segments.filter(([kind]) => kind === "code").length;
  const chip = known(sample.answer) ? el("span", { class: `answer ${known(sample.vote) ? `v${Math.min(sample.vote, 5)}` : ""}` }, sample.answer) : el("span", { class: "answer missing" }, "no answer");
  return el("article", { class: "said", "aria-label": `Trajectory ${sample.sample + 1}` },
    el("header", {}, chip, el("span", {}, `${calls} tool call${calls === 1 ? "" : "s"}`), STOPS[sample.stop] ? el("span", {}, STOPS[sample.stop]) : null, el("span", {}, sample.policy)),
    sample.segments.map(([kind, content, status]) => (kind === "text" ? el("div", { class: "part text" }, content)
      : el("div", { class: `part ${kind} ${kind === "output" && status !== "ok" ? "failed" : ""}` }, el("small", {}, kind === "code" ? "code" : status === "ok" ? "tool output" : `tool output · ${status}`), content))));
}

function listTasks(keep = false) {
  if (!keep) shownTasks = PAGE;
  const found = data.tasks.filter(matches);
  byId("found").textContent = `${found.length} of ${data.tasks.length} tasks`;
  byId("list").replaceChildren(...found.slice(0, shownTasks).map(taskRow));
  byId("more").hidden = found.length <= shownTasks;
}

function taskBrowser() {
  byId("browser").replaceChildren(...(data.tasks.length ? [
    filterForm(), el("p", { class: "found", id: "found", tabindex: -1, "aria-live": "polite" }), el("ul", { class: "tasks", id: "list" }),
    el("button", { type: "button", class: "quiet more", id: "more", onclick: () => { shownTasks += PAGE * 2; listTasks(true); } }, "Show more"),
    data.left_out ? el("p", { class: "found" }, data.left_out) : null,
  ].filter(Boolean) : [el("p", { class: "empty" }, "No pool is finished yet.")]));
  if (data.tasks.length) listTasks();
}

// After new data: the same filters on the new tasks.
function refreshTasks() {
  taskBrowser();
  for (const [name, value] of Object.entries(filters)) if (byId(`filter-${name}`)) byId(`filter-${name}`).value = value;
}
