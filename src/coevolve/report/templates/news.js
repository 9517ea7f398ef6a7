// News from the server that a page came from: heard while the page can be seen, and sought again when the line is lost.

const RETRY_MS = 3000;

// The address of something beside this page; the token of the page's own address goes with it.
function beside(name, asked = {}) {
  const query = new URLSearchParams(window.location.search);
  for (const [key, value] of Object.entries(asked)) query.set(key, value);
  return query.size ? `${name}?${query}` : name;
}

async function askFor(name, asked) {
  const answer = await fetch(beside(name, asked));
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the server answered ${answer.status}`);
  return answer.json();
}

// Calls `tell(news)` whenever the server has some, and `line(works)` when the connection comes or goes.
function hear(address, tell, line) {
  let source = null;
  let timer = null;
  const close = () => { source?.close(); source = null; clearTimeout(timer); };
  const open = () => {
    close();
    source = new EventSource(beside(address));
    source.addEventListener("open", () => line(true));
    source.addEventListener("message", (event) => tell(JSON.parse(event.data)));
    source.addEventListener("error", () => { close(); line(false); timer = setTimeout(open, RETRY_MS); });
  };
  // A page that nobody sees costs nothing, and a browser has few connections to one server.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  if (!document.hidden) open();
}

// Runs `work` when asked; asked meanwhile, once more afterwards, so that the newest is always seen.
function oneAtATime(work) {
  let [busy, again] = [false, false];
  return async function run() {
    if (busy) { again = true; return; }
    busy = true;
    try { await work(); } finally { busy = false; }
    if (again) { again = false; await run(); }
  };
}
