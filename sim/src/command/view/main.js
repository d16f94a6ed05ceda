// Controls: selection, steps, search, filters, keys, and the address of an instant.

/** Which lanes, messages and marks are shown. */
class Filter {
  constructor(run, changed) {
    this.run = run;
    this.off = new Set();
    this.lanesOff = new Set();
    const boxes = [
      ["votes", "votes and pre-votes"], ["appends", "appends"], ["heartbeats", "heartbeats"], ["snapshots", "snapshots"], ["hello", "first start"],
      ["clients", "clients' requests"], ["gone", "messages that were lost or cut"], ["timers", "timers"], ["disk", "disk"],
    ];
    const list = document.getElementById("filter-list");
    const box = (label, set, key) => element("label", {}, element("input", {
      type: "checkbox", checked: true, "data-filter": key,
      onchange: (change) => { if (change.target.checked) set.delete(key); else set.add(key); changed(); },
    }), ` ${label}`);
    list.append(element("h3", {}, "Show"), ...boxes.map(([key, label]) => box(label, this.off, key)));
    list.append(element("h3", {}, "Lanes"));
    for (let server = 1; server <= run.servers; server++) list.append(box(`server ${server}`, this.lanesOff, server));
    for (let client = 1; client <= run.clients; client++) list.append(box(`client ${client}`, this.lanesOff, -client));
    this.lineGroups = { wake: "timers", synced: "disk", persist: "disk", loaded: "disk", ask: "clients", hear: "clients", request: "clients", "give up": "clients" };
  }

  isLaneOff(place) { return this.lanesOff.has(place); }

  allowsMessage({ kind, fate, from, to }) {
    return !this.off.has(MESSAGE_GROUPS[kind]) && !(fate !== "receive" && this.off.has("gone")) && !this.isLaneOff(from) && !this.isLaneOff(to);
  }

  allowsLine(line) {
    const { run } = this;
    if (this.isLaneOff(run.place[line])) return false;
    const what = run.what(line), message = run.message(line);
    if (message) return !this.off.has(MESSAGE_GROUPS[message]) && (what === "receive" || !this.off.has("gone"));
    return !this.off.has(this.lineGroups[what]);
  }

  /** An event is skipped if its first line is filtered out and it caused nothing important. */
  allowsEvent(event) {
    const { run } = this;
    if (!run.isTold(event)) return false;
    if (this.allowsLine(run.firstLine[event])) return true;
    return !this.isLaneOff(run.placeOf(event)) && run.linesOf(event).some((line) => run.what(line) === "role");
  }
}

function begin() {
  const started = performance.now();
  const run = new Run(JSON.parse(document.getElementById("run").textContent));
  const byId = (id) => document.getElementById(id);
  byId("title").textContent = run.about.name;
  byId("title").title = run.about.purpose;
  document.title = `${run.about.name}: a run of Raft`;

  let selected = run.size ? run.event[0] : 0;
  let shownHash = null;
  const filter = new Filter(run, () => timeline.draw());
  const timeline = new Timeline(run, filter);
  const panels = new Panels(run, (event, closeUp) => select(event, closeUp));

  function select(event, closeUp = false) {
    event = Math.max(0, Math.min(run.events, Math.round(event)));
    selected = timeline.selected = event;
    panels.show(event);
    if (closeUp && timeline.to - timeline.from > CLOSE_UP) timeline.show(run.time[event] - CLOSE_UP / 2, run.time[event] + CLOSE_UP / 2);
    else timeline.reveal();
    writeHash();
  }

  // A link names the event, and the span of time around it that is shown.
  let hashTimer = null;
  function writeHash() {
    clearTimeout(hashTimer);
    hashTimer = setTimeout(() => {
      shownHash = `#e=${selected}&span=${+(timeline.to - timeline.from).toFixed(3)}`;
      history.replaceState(null, "", shownHash);
    }, 120);
  }
  function readHash() {
    if (location.hash === shownHash) return false;
    const wanted = new URLSearchParams(location.hash.slice(1)), event = Number(wanted.get("e")), at = wanted.get("t");
    if (!wanted.has("e") && at === null) return false;
    const chosen = wanted.has("e") && Number.isFinite(event) ? event : run.event[Math.max(0, run.lineBy(timeOf(at) ?? 0))];
    const span = Number(wanted.get("span")) || CLOSE_UP, time = run.time[Math.max(0, Math.min(run.events, Math.round(chosen)))];
    timeline.show(time - span / 2, time + span / 2);
    select(chosen);
    return true;
  }

  // ---- steps

  function step(by, isAllowed = () => true) {
    for (let event = selected + by; event >= 0 && event <= run.events; event += by) {
      if (filter.allowsEvent(event) && isAllowed(event)) return select(event);
    }
    stop();
  }
  const stepInLane = (by) => { const place = run.placeOf(selected); step(by, (event) => run.placeOf(event) === place); };
  const end = (last) => { selected = last ? run.events + 1 : -1; step(last ? -1 : 1); };
  let playing = null;
  function stop() {
    clearInterval(playing);
    playing = null;
    byId("play").textContent = "▷ play";
  }
  function play() {
    if (playing) return stop();
    playing = setInterval(() => step(1), 180);
    byId("play").textContent = "‖ stop";
  }
  const toCause = () => { const cause = run.causeOf(selected); if (cause !== null && run.isTold(cause)) select(cause); };
  const toEffect = () => { const effect = [...run.effectsOf(selected)].find((one) => run.isTold(one)); if (effect !== undefined) select(effect); };

  // ---- search

  /** "1.5s" or "300ms" in milliseconds; null for anything else. */
  function timeOf(text) {
    const parts = String(text).match(/^([\d.]+)\s*(ms|s)$/);
    return parts ? Number(parts[1]) * (parts[2] === "s" ? 1000 : 1) : null;
  }
  let searched = "";
  function search(backwards) {
    const wanted = byId("search").value.trim().toLowerCase();
    if (wanted === "") { timeline.matches = []; searched = ""; byId("found").textContent = ""; return timeline.draw(); }
    const number = wanted.match(/^#(\d+)$/), time = timeOf(wanted);
    if (number || time !== null) {
      byId("found").textContent = "";
      return select(number ? Number(number[1]) : run.event[Math.max(0, run.lineBy(time))], true);
    }
    if (wanted !== searched) {
      searched = wanted;
      const events = new Set(), words = wanted.split(/\s+/);
      for (let line = 0; line < run.size; line++) {
        const text = `${run.what(line)} ${run.place[line] ? placeName(run, run.place[line]) : ""} ${run.text(line)}`.toLowerCase();
        if (words.every((word) => text.includes(word))) events.add(run.event[line]);
      }
      timeline.matches = [...events];
    }
    const { matches } = timeline, at = lastAtMost(matches, selected);
    if (!matches.length) { byId("found").textContent = "nothing found"; return timeline.draw(); }
    const isOn = matches[at] === selected;
    const next = backwards ? (isOn ? at - 1 : at) : at + 1;
    const chosen = (next + matches.length) % matches.length;
    byId("found").textContent = `${(chosen + 1).toLocaleString("en")} of ${matches.length.toLocaleString("en")}`;
    select(matches[chosen], true);
  }

  // ---- the contents of the page

  const verdict = byId("verdict"), { violation } = run.about;
  verdict.textContent = violation ? `✕ ${violation.oracle}: jump to the violation` : `✓ ${run.about.verdict}`;
  verdict.className = violation ? "bad" : "good";
  verdict.title = violation ? `${violation.message} (v)` : `${run.about.events.toLocaleString("en")} events, ${run.about.committed} entries committed, ${run.about.elections} elections, hash ${run.about.hash}`;
  const toViolation = () => { if (violation) select(run.lastTold, true); };
  byId("legend").append(legend(run));

  const on = (id, happens, act) => byId(id).addEventListener(happens, act);
  on("verdict", "click", toViolation);
  on("first", "click", () => end(false));
  on("last", "click", () => end(true));
  on("back", "click", () => step(-1));
  on("forward", "click", () => step(1));
  on("play", "click", play);
  on("zoom-in", "click", () => { timeline.zoom(0.5); writeHash(); });
  on("zoom-out", "click", () => { timeline.zoom(2); writeHash(); });
  on("fit", "click", () => { timeline.show(-run.end * 0.01, run.end * 1.01); writeHash(); });
  on("search-form", "submit", (submitted) => { submitted.preventDefault(); search(false); });
  on("help", "click", () => byId("legend").showModal());
  on("legend", "click", (click) => { if (click.target === byId("legend")) byId("legend").close(); });
  on("theme", "click", () => {
    const root = document.documentElement, isDark = getComputedStyle(root).getPropertyValue("--is-dark").trim() === "1";
    root.dataset.theme = isDark ? "light" : "dark";
    timeline.resize();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => timeline.resize());

  const keys = {
    ArrowRight: (key) => key.shiftKey ? stepInLane(1) : step(1), ArrowLeft: (key) => key.shiftKey ? stepInLane(-1) : step(-1),
    Home: () => end(false), End: () => end(true), " ": play, "[": toCause, "]": toEffect, n: () => search(false), N: () => search(true),
    "+": () => timeline.zoom(0.5), "=": () => timeline.zoom(0.5), "-": () => timeline.zoom(2), 0: () => timeline.show(-run.end * 0.01, run.end * 1.01),
    v: toViolation, "/": () => byId("search").focus(), "?": () => byId("legend").showModal(), a: () => timeline.pan(-0.3), d: () => timeline.pan(0.3),
  };
  addEventListener("keydown", (key) => {
    if (key.ctrlKey || key.metaKey || key.altKey || byId("legend").open) return;
    if (key.target.matches("input")) { if (key.key === "Escape") key.target.blur(); return; }
    if (key.key === " " && key.target.matches("button, summary")) return;
    const act = keys[key.key];
    if (act) { key.preventDefault(); act(key); writeHash(); }
  });
  addEventListener("hashchange", readHash);
  new ResizeObserver(() => { timeline.resize(); panels.showLogs(selected); }).observe(byId("scroll"));

  watchPointer(run, timeline, select, writeHash);
  timeline.selected = selected;
  timeline.resize();
  if (!readHash()) {
    // The page opens at the first leader's election.
    const first = panels.story.find(({ kind }) => kind === "leader");
    timeline.show(-run.end * 0.01, run.end * 1.01);
    select(first ? first.event : selected);
    if (run.size > 4000 && first) timeline.show(run.time[first.event] - CLOSE_UP * 1.6, run.time[first.event] + CLOSE_UP * 1.6);
  }
  timeline.drawNow();
  document.documentElement.dataset.ready = (performance.now() - started).toFixed(0);
}

/** The milliseconds of simulated time that are shown around a selected event. */
const CLOSE_UP = 120;

/** Dragging, wheeling, clicking and pointing. */
function watchPointer(run, timeline, select, moved) {
  const { canvas, overview } = timeline, tip = document.getElementById("tip");
  const spot = (pointer) => { const box = canvas.getBoundingClientRect(); return [pointer.clientX - box.left, pointer.clientY - box.top]; };
  let drag = null;
  canvas.addEventListener("pointerdown", (pointer) => {
    drag = { x: pointer.clientX, from: timeline.from, to: timeline.to, moved: false };
    canvas.setPointerCapture(pointer.pointerId);
  });
  canvas.addEventListener("pointermove", (pointer) => {
    const [x, y] = spot(pointer);
    if (drag) {
      const by = (drag.x - pointer.clientX) / (timeline.width - LABEL_WIDTH) * (drag.to - drag.from);
      drag.moved ||= Math.abs(drag.x - pointer.clientX) > 4;
      if (drag.moved) { timeline.show(drag.from + by, drag.to + by); tip.hidden = true; }
      return;
    }
    const found = timeline.under(x, y);
    tip.hidden = !found;
    canvas.style.cursor = found ? "pointer" : "";
    if (!found) return;
    tip.textContent = `#${found.event}  ${milliseconds(run.at[found.line])}\n${run.what(found.line)}: ${run.text(found.line)}`;
    const box = canvas.parentElement.getBoundingClientRect();
    tip.style.left = `${Math.min(pointer.clientX - box.left + 14, box.width - tip.offsetWidth - 8)}px`;
    tip.style.top = `${pointer.clientY - box.top + 18}px`;
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("pointerup", (pointer) => {
    if (drag && !drag.moved) {
      const [x, y] = spot(pointer), event = timeline.under(x, y)?.event ?? timeline.nearest(x, y);
      if (event !== null) select(event);
    }
    drag = null;
    moved();
  });
  canvas.addEventListener("wheel", (wheel) => {
    wheel.preventDefault();
    const [x] = spot(wheel);
    if (wheel.shiftKey || Math.abs(wheel.deltaX) > Math.abs(wheel.deltaY)) timeline.pan((wheel.deltaX || wheel.deltaY) / 900);
    else timeline.zoom(Math.exp(Math.max(-120, Math.min(120, wheel.deltaY)) / 280), timeline.timeAt(x));
    moved();
  }, { passive: false });
  canvas.addEventListener("dblclick", (pointer) => { timeline.zoom(0.25, timeline.timeAt(spot(pointer)[0])); moved(); });
  let isMoving = false;
  const moveTo = (pointer) => { const half = (timeline.to - timeline.from) / 2, time = timeline.overviewTime(pointer.clientX); timeline.show(time - half, time + half); };
  overview.addEventListener("pointerdown", (pointer) => { isMoving = true; overview.setPointerCapture(pointer.pointerId); moveTo(pointer); });
  overview.addEventListener("pointermove", (pointer) => { if (isMoving) moveTo(pointer); });
  overview.addEventListener("pointerup", () => { isMoving = false; moved(); });
}

begin();
