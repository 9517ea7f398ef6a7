// How probable each token was when the policy sampled it.

// Tokens as {start, end, surprise}; surprise is -1000 ln p, or -1 for what the policy did not write. Tokens that share
// a character (byte-level BPE) are one: their surprises add up.
function tokensOf({ lengths, surprise }) {
  const found = [];
  let [start, held] = [0, null];
  lengths.forEach((length, n) => {
    held = surprise[n] < 0 ? held ?? -1 : Math.max(held ?? 0, 0) + surprise[n];
    if (!length) return;
    found.push({ start, end: start + length, surprise: held });
    [start, held] = [start + length, null];
  });
  return found;
}

const probability = (surprise) => Math.exp(-surprise / 1000);

function tokenNode(text, surprise) {
  if (surprise < 0) return el("span", {}, spelled(text));
  const p = probability(surprise);
  const grade = p < 0.1 ? "rare" : p < 0.5 ? "unsure" : p < 0.9 ? "likely" : "sure";
  const told = `${JSON.stringify(visible(text))}\np = ${p >= 0.001 ? percent(p, p > 0.999 && p < 1 ? 2 : 1) : p.toExponential(1)}   ln p = ${(-surprise / 1000).toFixed(3)}`;
  const node = el("span", { class: `token ${grade}`, style: `--surprise:${Math.min(surprise / 3000, 1).toFixed(2)}`, tabindex: -1, role: "img", "aria-label": told.replace("\n", ", ") }, spelled(text));
  const show = () => {
    const box = node.getBoundingClientRect();
    showTip(told, box.left + box.width / 2, box.top);
  };
  node.addEventListener("mouseenter", show);
  node.addEventListener("focus", show);
  node.addEventListener("click", show);
  node.addEventListener("mouseleave", hideTip);
  node.addEventListener("blur", hideTip);
  return node;
}

// The tokens between two places of a text; one that reaches over a border is shown in part.
function tokenNodes(text, start, end, tokens) {
  const inside = tokens.filter((token) => token.end > start && token.start < end);
  const last = inside.length ? inside[inside.length - 1].end : start;
  const nodes = inside.map((token) => tokenNode(text.slice(Math.max(token.start, start), Math.min(token.end, end)), token.surprise));
  return last < end ? [...nodes, ...spelled(text.slice(last, end))] : nodes;
}

// One stop for the keyboard per trajectory; the arrow keys walk from token to token.
function walkTokens(said) {
  const tokens = [...said.querySelectorAll(".token")];
  if (!tokens.length) return;
  tokens[0].tabIndex = 0;
  said.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = tokens[tokens.indexOf(document.activeElement) + by];
    if (!by || !to) return;
    event.preventDefault();
    for (const token of tokens) token.tabIndex = -1;
    to.tabIndex = 0;
    to.focus();
  });
}
