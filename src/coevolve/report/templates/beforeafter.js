// One held-out problem, answered by the base model and by the last one that was measured. Colour says right or wrong here.

const rightOrWrong = (right) => el("span", { class: `verdict ${right ? "right" : "wrong"}` }, right ? "✓ right" : "✕ wrong");

function answeredBy(name, right, sample) {
  return el("div", {}, el("h3", {}, name, " ", rightOrWrong(right)), trajectory(sample, -1));
}

async function drawBeforeAfter() {
  const places = tasks.before_after;
  const section = byId("before-after");
  if (!places) return;
  const [before, now] = await Promise.all(places.map(trajectoriesOf));
  if (!before?.length || !now?.length) return;
  const [first, last] = places;
  byId("contrast").replaceChildren(
    el("p", { class: "question" }, spelled(tasks.question[last])),
    el("p", { class: "facts" }, el("span", { class: "truth" }, "truth ", el("b", {}, spelled(tasks.truth[last])), " · known to the meter only")),
    el("div", { class: "pair" }, answeredBy("Base model", false, before[0]), answeredBy(`After iteration ${tasks.iteration[last]}`, true, now[0])),
    el("p", { class: "found" }, "One of the problems that the base model got wrong and the last iteration gets right in every sample. ",
      el("button", { type: "button", class: "quiet", onclick: () => showTasks({ origin: "1", text: tasks.task_id[last] }) }, "All answers to it")));
  section.hidden = false;
}
