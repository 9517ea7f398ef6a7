// The page of a run that has not begun, or of which nothing can be read.

const waited = JSON.parse(byId("data").textContent);
byId("run").textContent = waited.path.split("/").pop();
byId("path").textContent = waited.path;
themes();
hear(waited.live.events, (news) => {
  if (news.versions.data) { window.location.reload(); return; }
  const broken = news.state === "unreadable";
  byId("headline").textContent = broken ? "This run cannot be read" : "Waiting for the run";
  byId("lead").hidden = broken;
  byId("state").textContent = broken ? "Cannot be read" : "Waiting";
  byId("state").className = `state ${news.state}`;
  byId("problem").textContent = news.problem;
  byId("problem").hidden = !news.problem;
}, (works) => { if (!works) byId("state").textContent = "Connection lost, trying again"; });
