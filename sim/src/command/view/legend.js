// The legend: every mark with its meaning, the keys, and what the page is.

function legend(run) {
  const part = (name, ...children) => element("section", {}, element("h3", {}, name), ...children);
  const sample = (paint) => {
    const canvas = element("canvas", { width: 92, height: 88, class: "sample", "aria-hidden": "true" });
    // Drawn when the dialog opens, in the colours of that moment.
    canvas.paint = paint;
    return canvas;
  };
  const table = (rows) => element("table", { class: "legend" }, ...rows.map(([paint, name, words]) => element("tr", {}, element("td", {}, sample(paint)), element("th", { scope: "row" }, name), element("td", {}, words))));
  const lane = Object.create(Timeline.prototype);
  const prepare = (g) => {
    Object.assign(lane, {
      run: { segments: [[]], cutSpans: [[]] }, filter: { isLaneOff: () => false }, laneHeight: 44, left: 0, width: 46, from: 0, to: 1, g,
      x: (time) => time * 46, y: () => 22, style: getComputedStyle(document.documentElement), arrows: [], edge: (place) => (place === 1 ? 4 : 40),
    });
    lane.patterns = lane.makePatterns(g);
  };
  const bar = (role, term, flags = 0) => (g) => {
    lane.run.segments = [[{ from: -1, to: 1, role, term, flags }]];
    lane.labelRole = () => {};
    lane.drawRoles(g, 1);
  };
  const arrow = (group, fate = "receive") => (g) => {
    const style = GROUP_STYLE[group];
    g.lineWidth = style.width;
    g.strokeStyle = g.fillStyle = lane.colour(style.colour);
    lane.arrow(g, { from: 1, to: 2, sent: 0.1, arrived: 0.9, fate }, style.dash);
  };
  const glyph = (what) => (g) => lane.glyph(g, GLYPHS[what], 23, 22, what);
  const roles = table([
    [bar(LEADER, 1), "leader", "a tall bar with an outline; the colour and the label are the term"],
    [bar(CANDIDATE, 2), "candidate", "striped: asks for votes"],
    [bar(PRE_CANDIDATE, 3), "pre-candidate", "dotted: asks whether it could win"],
    [bar(FOLLOWER, 1), "follower", "a low bar"],
    [bar(JOINING, 0), "joining", "a dashed outline: its disk was empty"],
    [bar(DOWN, 0), "down", "cross-hatched"],
    [bar(FOLLOWER, 4, PAUSED), "paused", "bars across the lane: its process is paused"],
  ]);
  const arrows = table([
    [arrow("votes"), "votes", "and pre-votes, with their answers"], [arrow("appends"), "appends", "entries, and how far they match"],
    [arrow("heartbeats"), "heartbeats", "and their answers"], [arrow("snapshots"), "snapshots", "in pieces"],
    [arrow("clients"), "clients", "requests and answers"], [arrow("appends", "unheard"), "gone", "lost, cut, dropped, or its server was down"],
  ]);
  const marks = table([
    [glyph("receive"), "arrives", "a message or a request"], [glyph("wake"), "timer", "an election timeout, or time for a heartbeat"],
    [glyph("synced"), "synced", "a write is safe on the disk"], [glyph("commit"), "commits", "below the lane: the commit index moves"],
    [glyph("crash"), "crash", "the process dies"], [glyph("start"), "start", "from what its disk kept"],
  ]);
  const keys = [
    ["← →", "one event back, on"], ["Shift ← →", "the same in this lane"], ["[ ]", "to the cause, to the first effect"], ["Home End", "first, last event"], ["Space", "play"],
    ["+ − 0", "zoom in, out, all; or the wheel"], ["a d", "move the window; or drag"], ["/ n N", "search, next, previous"], ["v", "jump to the violation"], ["?", "this legend"],
  ];
  const about = element("p", {}, `${run.about.name}. ${run.about.purpose} Seed ${run.about.seed}; ${run.servers} servers, ${run.clients} clients; ${run.about.events.toLocaleString("en")} events, ${run.about.committed} entries committed, ${run.about.elections} elections. Made by `, element("code", {}, run.about.command), ".");
  const read = element("p", {}, "An event is something that reaches a server, a client or the world: a message, a timer, a sync. What it causes at once is listed with it; what it causes later is an effect. ",
    "Thick lines show the causes of the selected event, and its effects. Select an event with a click, and step on with →. A bar below a lane shows that the disk or the clients of that server have a fault; dashed red edges show that links of it are cut.");
  const close = element("button", { type: "button", class: "close", autofocus: true, onclick: () => document.getElementById("legend").close() }, "Close");
  const schedule = element("details", {}, element("summary", {}, "The schedule of this run"), element("pre", {}, run.about.schedule));
  const content = element("div", {}, close, element("h2", {}, "How to read this page"), read,
    element("div", { class: "columns" }, part("Roles", roles), part("Messages", arrows), part("Marks", marks),
      part("Keys", element("table", { class: "legend" }, ...keys.map(([key, words]) => element("tr", {}, element("th", { scope: "row" }, element("kbd", {}, key)), element("td", {}, words)))))),
    about, schedule);
  const paintAll = () => {
    for (const canvas of content.querySelectorAll("canvas.sample")) {
      const g = canvas.getContext("2d");
      g.setTransform(2, 0, 0, 2, 0, 0);
      g.clearRect(0, 0, 46, 44);
      prepare(g);
      canvas.paint(g);
    }
  };
  new MutationObserver(paintAll).observe(document.getElementById("legend"), { attributes: true, attributeFilter: ["open"] });
  return content;
}
