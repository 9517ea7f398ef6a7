// A sample of the kept tasks of each iteration, to judge by eye. There is a colour only where the truth is known.

const counted = (texts) => texts.map(([text, n]) => `${text} ×${n}`).join(", ");

function checked({ truth, right }) {
  if (right === null) return el("span", { class: "verdict open" }, "not checked");
  return el("span", { class: `verdict ${right ? "right" : "wrong"}`, title: "known to the meter only" }, right ? "✓ right" : "✕ wrong: ", right ? null : spelled(truth ?? "no answer"));
}

function sampleTable(rows) {
  const head = ["question", "label", "votes", "programs showed last", "checked"];
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Sample of kept tasks" }, el("table", {},
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, el("td", { class: "words" }, spelled(row.question)), el("td", {}, spelled(row.label)),
      el("td", {}, spelled(counted(row.votes))), el("td", {}, spelled(counted(row.outputs))), el("td", {}, checked(row)))))));
}

function drawSample() {
  const rows = tasks.sample ?? [];
  const iterations = [...new Set(rows.map((row) => row.iteration))];
  byId("sampled").replaceChildren(...iterations.map((t) => {
    const mine = rows.filter((row) => row.iteration === t);
    const known = mine.filter((row) => row.right !== null);
    const words = `Iteration ${t}: ${mine.length} kept tasks, labels right ${known.filter((row) => row.right).length} of ${known.length} checked`;
    return el("details", t === iterations[iterations.length - 1] ? { open: "" } : {}, el("summary", {}, words), sampleTable(mine));
  }));
  byId("sample").hidden = !rows.length;
}
