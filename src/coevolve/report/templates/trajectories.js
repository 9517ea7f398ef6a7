// One task: the votes on it, and its trajectories side by side.

const STOPS = { eos: "", length: "out of tokens", turns: "out of turns", protocol: "forged output", infrastructure: "sandbox lost" };
const REFUSED = { error: "no answer: an error", unevaluated: "no answer: the question again" };
const OPENED = 6;  // chunks that stay decompressed
const opened = new Map();  // chunk -> promise of its tasks
let probabilities = false;
let detailOf = -1;  // the task whose detail is wanted; an older one that comes late is not shown

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return JSON.parse(await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text());
}

function chunk(number) {
  if (!opened.has(number)) {
    opened.set(number, inflate(byId(`chunk-${number}`).textContent));
    if (opened.size > OPENED) opened.delete(opened.keys().next().value);
  }
  return opened.get(number);
}

// The trajectories of a task: from the page, or from the server of a live one; null where the page has none.
async function trajectoriesOf(i) {
  if (tasks.at?.[i]) return (await chunk(tasks.at[i][0]))[tasks.at[i][1]];
  if (!data.live?.trajectories) return null;
  return askFor(data.live.trajectories, { origin: tasks.origin[i], iteration: tasks.iteration[i], task: tasks.task_id[i] });
}

// Votes as [answer, number, class]; those on a held-out problem are counted here, by canonical key.
function votesOf(i, samples) {
  if (tasks.origin[i] === WRITTEN) return tasks.counts[i];
  const votes = new Map();
  for (const { key, greedy } of samples ?? []) if (known(key) && !greedy) votes.set(key, (votes.get(key) ?? 0) + 1);
  return [...votes].sort((a, b) => b[1] - a[1]);
}

const letter = (vote) => (vote < 26 ? String.fromCharCode(65 + vote) : "…");

function voteBar(votes, k) {
  const missing = k - votes.reduce((sum, [, number]) => sum + number, 0);
  const parts = votes.map(([answer, number], vote) => el("span", { class: `vote v${Math.min(vote, 5)}`, style: `flex:${number}`, title: `${visible(answer)}: ${number} of ${k}` }, el("b", {}, letter(vote)), ` ${visible(answer)} × ${number}`));
  if (missing > 0) parts.push(el("span", { class: "vote missing", style: `flex:${missing}`, title: `no answer: ${missing} of ${k}` }, `none × ${missing}`));
  return el("div", { class: "votes", role: "img", "aria-label": `Votes: ${votes.map(([answer, number]) => `${visible(answer)} ${number} times`).join(", ")}` }, parts);
}

function facts(i) {
  const fact = (name, value) => (known(value) && value !== "" ? el("span", {}, `${name} `, el("b", {}, typeof value === "string" ? spelled(value) : value)) : null);
  const written = tasks.origin[i] === WRITTEN;
  return el("p", { class: "facts" }, fact(written ? "label" : "majority", tasks.label[i]),
    known(tasks.truth[i]) ? el("span", { class: "truth" }, "truth ", el("b", {}, spelled(tasks.truth[i])), " · known to the meter only") : null,
    written ? fact("p̂", known(tasks.p_hat[i]) ? number(tasks.p_hat[i]) : null) : fact("right", `${tasks.samples_right[i]} of ${tasks.k[i]}`),
    written ? fact("gate", tasks.fate[i]) : fact("set", tasks.set[i]), fact("steps", tasks.steps[i]), fact("topic", tasks.topic[i]),
    fact("tool calls", known(tasks.tool_calls[i]) ? number(tasks.tool_calls[i], 1) : null),
    fact("pass rate after iteration 1", known(tasks.first[i]) ? percent(tasks.first[i], 0) : null), fact("own answer", tasks.own[i]),
    tasks.tied[i] ? el("span", {}, "tied vote") : null, fact("id", tasks.task_id[i]));
}

function closeDetail() {
  detailOf = -1;
  byId("detail").replaceChildren();
}

async function showDetail(i) {
  detailOf = i;
  let samples = null;
  let trouble = null;
  try { samples = await trajectoriesOf(i); } catch (error) { trouble = `The trajectories could not be read: ${error.message}`; }
  if (detailOf === i) drawDetail(i, samples, trouble);
}

function drawDetail(i, samples, trouble) {
  const votes = votesOf(i, samples);
  const k = tasks.k[i] ?? 0;
  const shaded = samples?.some((sample) => sample.lengths);
  byId("detail").replaceChildren(...[
    el("div", { class: "steps" }, el("h3", {}, tasks.origin[i] === WRITTEN ? `Task of iteration ${tasks.iteration[i]}` : `Held-out problem, ${tasks.iteration[i] ? `iteration ${tasks.iteration[i]}` : "base model"}`),
      el("span", {}, stepButton("‹", "Previous task", -1), stepButton("›", "Next task", 1))),
    el("p", { class: "question" }, spelled(tasks.question[i])), facts(i), votes.length || k ? voteBar(votes, k) : null,
    samples?.length ? el("div", { class: "tools" }, el("p", { class: "kinds" }, el("span", { class: "kind text" }, "model text"), el("span", { class: "kind code" }, "code for the tool"), el("span", { class: "kind output" }, "tool output"), samples.some((sample) => sample.parts.some(([kind]) => kind === "user")) ? el("span", { class: "kind user" }, "user") : null),
      shaded ? probabilityButton(i, samples) : null) : null,
    samples?.length ? el("div", { class: `answers${probabilities && shaded ? " shaded" : ""}` }, byVote(samples, votes, i).map(([sample, vote]) => trajectory(sample, vote))) : el("p", { class: "empty" }, trouble ?? absent(i)),
    note(i, samples)].filter(Boolean));
}

function stepButton(text, label, by) {
  const to = current + by;
  return el("button", { type: "button", class: "quiet", "aria-label": label, disabled: current < 0 || to < 0 || to >= listed.length, onclick: () => openAt(current + by) }, text);
}

function probabilityButton(i, samples) {
  return el("button", { type: "button", class: "quiet", id: "probabilities", "aria-pressed": String(probabilities), onclick: () => {
    probabilities = !probabilities;
    drawDetail(i, samples, null);
    byId("probabilities").focus({ preventScroll: true });
  } }, "Token probabilities");
}

const absent = (i) => (tasks.answered?.[i] ? "The trajectories of this task are in the run folder." : "No trajectories were kept of this task.");

function note(i, samples) {
  const answered = tasks.answered?.[i] ?? samples?.length ?? 0;
  const parts = [];
  if (samples?.length && answered > samples.length) parts.push(`${count(answered - samples.length)} more are in the run folder.`);
  if (tasks.origin[i] === WRITTEN && answered && tasks.k[i] > answered) parts.push(`The vote also counts ${tasks.k[i] - answered} answers of earlier checkpoints, which are not stored.`);
  if (probabilities && samples?.some((sample) => sample.lengths)) parts.push("Shaded by how improbable a token was when it was sampled: dotted below 90 %, underlined below 50 %, doubly below 10 %. Point at one, or walk with the arrow keys.");
  return parts.length ? el("p", { class: "found" }, parts.join(" ")) : null;
}

// The trajectories with their votes, equal answers side by side, the majority first.
function byVote(samples, votes, i) {
  const voteOf = (sample) => (tasks.origin[i] === WRITTEN ? sample.vote ?? -1 : votes.findIndex(([key]) => key === sample.key));
  const rank = (vote) => (vote < 0 ? Infinity : vote);
  return samples.map((sample) => [sample, voteOf(sample)]).sort((a, b) => rank(a[1]) - rank(b[1]) || 0);
}

function trajectory(sample, vote) {
  const calls = sample.parts.filter(([kind]) => kind === "code").length;
  const voted = vote >= 0;
  const chip = known(sample.answer) ? el("span", { class: `answer ${voted ? `v${Math.min(vote, 5)}` : ""}` }, voted ? el("b", {}, letter(vote)) : null, " ", spelled(sample.answer)) : el("span", { class: "answer missing" }, REFUSED[sample.refused] ?? "no answer");
  const said = el("article", { class: "said", "aria-label": `Trajectory ${sample.sample + 1}` },
    el("header", {}, chip, sample.greedy ? el("span", {}, "greedy") : null, el("span", {}, `${calls} tool call${calls === 1 ? "" : "s"}`), STOPS[sample.stop] ? el("span", { class: "stopped" }, STOPS[sample.stop]) : null, el("span", {}, sample.policy)),
    parts(sample), sample.cut ? el("p", { class: "found" }, `${count(sample.cut)} more characters are in the run folder.`) : null);
  if (probabilities && sample.lengths) walkTokens(said);
  return said;
}

const NAMES = { text: "model text", code: "code for the tool", output: "tool output", user: "further user turn" };

function parts(sample) {
  const pieces = probabilities && sample.lengths ? tokensOf(sample) : null;
  const nodes = [];
  let at = 0;
  for (const [kind, start, end, status, content] of sample.parts) {
    if (pieces && start >= 0) nodes.push(between(sample.text, at, start, pieces));
    const failed = kind === "output" && status !== "ok";
    const inside = content !== undefined ? spelled(content) : pieces ? tokenNodes(sample.text, start, end, pieces) : spelled(sample.text.slice(start, end));
    const title = kind === "text" ? null : el("small", {}, kind === "code" ? "code" : kind === "user" ? "user" : failed ? `output · ${status}` : "output");
    nodes.push(el("div", { class: `part ${kind}${failed ? " failed" : ""}`, role: "group", "aria-label": NAMES[kind] }, title, inside));
    at = Math.max(at, end);
  }
  if (!pieces) return nodes;
  const ends = sample.ends.map((end, n) => tokenNode(end, sample.surprise[sample.lengths.length + n]));
  return [...nodes, between(sample.text, at, sample.text.length, pieces), ends.length ? el("div", { class: "fence" }, ends) : null];
}

// The fences between two parts, which only matter when one asks how probable they were.
function between(text, start, end, pieces) {
  return text.slice(start, end).trim() ? el("div", { class: "fence" }, tokenNodes(text, start, end, pieces)) : null;
}
