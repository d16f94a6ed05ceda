// The panels: the selected event in words, the logs at that instant, the network, and the story.

/** An element with attributes and children; text is never taken for markup. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

class Panels {
  constructor(run, select) {
    this.run = run;
    this.select = select;
    this.shift = 0;
    this.story = storyOf(run);
    this.buildStory();
  }

  show(event) {
    this.showEvent(event);
    this.showLogs(event);
    this.showNetwork(event);
    this.markStory(event);
  }

  // ---- the event

  link(event) {
    const { run } = this;
    return element("button", { type: "button", class: "event-link", "data-event": event, onclick: () => this.select(event) },
      element("span", { class: "number" }, `#${event}`), ` ${title(run, event)} `,
      element("span", { class: "time" }, milliseconds(run.time[event])));
  }

  showEvent(event) {
    const { run } = this, panel = document.getElementById("event"), lines = run.linesOf(event);
    const rows = lines.map((line, i) => {
      const what = run.what(line), explained = i > 0 && what === "persist" ? LINE_WORDS.persist : meaning(run, line);
      return element("li", {}, element("code", {}, element("b", {}, what), " ", run.text(line)), explained ? element("p", {}, explained) : null);
    });
    const causes = run.ancestors(event, 8).filter((cause) => run.isTold(cause)), effects = [...run.effectsOf(event)].filter((effect) => run.isTold(effect));
    const links = (name, key, events, all, none) => element("section", { class: name },
      element("h3", {}, key), events.length ? element("ol", {}, ...events.map((one) => element("li", {}, this.link(one)))) : element("p", { class: "none" }, none),
      all > events.length ? element("p", { class: "none" }, `and ${all - events.length} more`) : null);
    panel.replaceChildren(
      element("h2", {}, element("span", { class: "number", id: "event-number" }, `#${event}`), " ", title(run, event)),
      element("p", { class: "time" }, milliseconds(run.time[event]), ` · event ${event} of ${run.events.toLocaleString("en")}`),
      run.about.violation && event === run.lastTold ? element("p", { class: "violation" }, element("b", {}, `${run.about.violation.oracle}: ${run.about.violation.message}`), ` ${run.about.violation.rule}`) : "",
      element("ul", { class: "lines" }, ...rows),
      links("causes", "Caused by, the nearest first ( [ )", causes, causes.length, "Nothing that was told: it was planned, or a timer was set long before."),
      links("effects", "Led to ( ] )", effects.slice(0, 10), effects.length, "Nothing else."));
  }

  // ---- the logs

  showLogs(event) {
    const { run } = this, panel = document.getElementById("logs");
    const states = [], logs = [];
    for (let server = 1; server <= run.servers; server++) {
      states.push(run.stateAt(server, event));
      logs.push(run.logs[server - 1].at(event));
    }
    const cell = 27, room = Math.max(6, Math.floor((panel.clientWidth - 208) / cell));
    const last = Math.max(room, ...logs.map((log) => log.first + log.entries.length - 1));
    // Around the highest commit index, where logs grow and diverge; the buttons shift that.
    const commit = Math.max(...states.map((state) => state.commit));
    const middle = Math.min(last - room + 1, commit - Math.floor(room * 0.6));
    const from = Math.max(1, Math.min(last - room + 1, middle + this.shift)), to = from + room - 1;
    const shift = (by, label, name) => element("button", { type: "button", "aria-label": name, title: name, onclick: () => { this.shift = by === 0 ? 0 : from - middle + by; this.showLogs(event); } }, label);
    const leader = states.map((state, i) => ({ ...state, server: i + 1 })).filter((state) => state.role === LEADER).sort((one, other) => other.term - one.term)[0];
    const head = element("tr", {}, element("th", { scope: "col" }, "server"), element("th", { scope: "col" }, "index"));
    for (let index = from; index <= to; index++) head.append(element("th", { scope: "col", class: "index" }, index % (to < 1000 ? 1 : 5) === 0 ? String(index) : ""));
    const rows = states.map((state, i) => this.logRow(i + 1, state, logs[i], from, to, leader));
    panel.replaceChildren(
      element("div", { class: "shift" }, shift(-Math.ceil(room / 2), "‹", "Earlier entries"), shift(0, "⌂", "Around the commit index"), shift(Math.ceil(room / 2), "›", "Later entries")),
      element("h2", {}, "Logs at this instant"),
      element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)),
      element("p", { class: "key" },
        element("span", { class: "entry committed durable sample" }, "3"), "committed ",
        element("span", { class: "entry durable sample" }, "3"), "on the disk ",
        element("span", { class: "entry sample" }, "3"), "not synced yet ",
        "▾ the leader knows that it matches up to here · the number is the term; ○ blank, ◇ configuration"));
  }

  logRow(server, state, log, from, last, leader) {
    const { run } = this, row = element("tr", { class: state.role === DOWN ? "down" : "" });
    const role = element("th", { scope: "row" }, element("span", { class: `badge role-${state.role}`, style: state.role > JOINING ? `--term:${termColour(state.term)};--on-term:${textOnTerm(state.term)}` : null }, `${server}`),
      ` ${ROLES[state.role]}`, element("small", {}, `term ${state.term}${state.vote ? ` · vote ${state.vote}` : ""}${state.flags ? ` · ${run.about.flags.filter((_, bit) => state.flags >> bit & 1).join(", ")}` : ""}`));
    row.append(role, element("td", { class: "numbers" }, `commit ${state.commit}`, element("br"), `applied ${state.applied}`));
    const matched = leader && leader.server !== server ? leader[`matched ${server}`] : null;
    for (let index = from; index <= last; index++) {
      const entry = log.entries[index - log.first], box = element("td", { class: "cell" });
      if (entry !== undefined) {
        const term = Math.floor(entry / 4), body = entry % 4;
        const names = ["entry"];
        if (index <= state.durable) names.push("durable");
        if (index <= state.commit) names.push("committed");
        const words = `server ${server}, index ${index}: term ${term}, ${run.about.bodies[body]}; ${index <= state.commit ? "committed" : "not known to be committed"}, ${index <= state.durable ? "on the disk" : "not on the disk yet"}`;
        box.append(element("span", { class: names.join(" "), style: `--term:${termColour(term)};--on-term:${textOnTerm(term)}`, title: words, "data-index": index }, `${term}${["○", "", "◇", "–"][body]}`));
      } else if (index < log.first && index <= state.snapshot) {
        box.append(element("span", { class: "compacted", title: `index ${index} is in the snapshot up to ${state.snapshot}` }, "·"));
      }
      if (index === matched) box.append(element("span", { class: "matched", title: `leader ${leader.server} knows that server ${server} matches up to ${matched}` }, "▾"));
      if (index === state.commit) box.classList.add("commit-edge");
      row.append(box);
    }
    return row;
  }

  // ---- the network

  showNetwork(event) {
    const { run } = this, panel = document.getElementById("network"), space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("viewBox", "-110 -105 220 210");
    svg.setAttribute("role", "img");
    const draw = (name, attributes, text) => {
      const made = document.createElementNS(space, name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      if (text !== undefined) made.textContent = text;
      svg.append(made);
      return made;
    };
    const spot = (server) => {
      const angle = 2 * Math.PI * (server - 1) / run.servers - Math.PI / 2;
      return run.servers === 1 ? [0, 0] : [78 * Math.cos(angle), 78 * Math.sin(angle)];
    };
    const cuts = [];
    for (let one = 1; one <= run.servers; one++) {
      for (let other = one + 1; other <= run.servers; other++) {
        const [x0, y0] = spot(one), [x1, y1] = spot(other), there = run.isCut(one, other, event), back = run.isCut(other, one, event);
        const state = there && back ? "cut" : there || back ? "half-cut" : "whole";
        draw("line", { x1: x0, y1: y0, x2: x1, y2: y1, class: `link ${state}` });
        if (there && back) cuts.push(`${one}–${other}`);
        else if (there || back) {
          const [from, to] = there ? [one, other] : [other, one];
          cuts.push(`${from}→${to}`);
          // The cross is nearer to the server that does not receive.
          const [fx, fy] = spot(from), [tx, ty] = spot(to);
          draw("text", { x: fx + (tx - fx) * 0.66, y: fy + (ty - fy) * 0.66, class: "cross" }, "✕");
        } 
        if (there && back) draw("text", { x: (x0 + x1) / 2, y: (y0 + y1) / 2, class: "cross" }, "✕");
      }
    }
    const now = run.time[event], flying = [];
    for (const message of run.messagesWithin(now, now)) {
      if (message.from < 1 || message.to < 1 || message.fate === "held" || !(message.sent <= now && message.arrived > now)) continue;
      const along = (now - message.sent) / (message.arrived - message.sent), [x0, y0] = spot(message.from), [x1, y1] = spot(message.to);
      const share = 0.16 + 0.68 * along, angle = Math.atan2(y1 - y0, x1 - x0) * 180 / Math.PI;
      const arrow = draw("path", { d: "M-6,-4.5 L7,0 L-6,4.5 Z", class: `flying ${MESSAGE_GROUPS[message.kind] || ""}`, transform: `translate(${x0 + (x1 - x0) * share} ${y0 + (y1 - y0) * share}) rotate(${angle})` });
      const name = document.createElementNS(space, "title");
      name.textContent = run.text(message.line);
      arrow.append(name);
      flying.push(`${message.kind} ${message.from}→${message.to}`);
    }
    for (let server = 1; server <= run.servers; server++) {
      const [x, y] = spot(server), state = run.stateAt(server, event), colour = state.role > JOINING ? termColour(state.term) : "var(--page)";
      draw("circle", { cx: x, cy: y, r: state.role === LEADER ? 19 : 15, class: `server role-${state.role}`, style: `fill:${colour}` });
      draw("text", { x, y: y + 1, class: "name", style: state.role > JOINING ? `fill:${textOnTerm(state.term)}` : "" }, state.role === DOWN ? `${server}✕` : state.role === LEADER ? `${server}★` : `${server}`);
    }
    let configuration = "", term = -1;
    for (let server = 1; server <= run.servers; server++) {
      const state = run.stateAt(server, event);
      if (state.membership && (state.role === LEADER ? state.term + 0.5 : state.term) > term) {
        term = state.role === LEADER ? state.term + 0.5 : state.term;
        configuration = run.memberships[state.membership];
      }
    }
    const list = (name, items) => element("p", {}, element("b", {}, name), items.length ? items.slice(0, 6).join(", ") + (items.length > 6 ? ` and ${items.length - 6} more` : "") : "none");
    panel.replaceChildren(element("h2", {}, "Network"), svg, list("in flight: ", flying), list("cut: ", cuts),
      list("configuration: ", configuration ? [configuration] : []));
  }

  // ---- the story

  buildStory() {
    const list = document.getElementById("story"), most = 600;
    const parts = this.story.length > most ? this.story.filter(({ kind }) => kind && kind !== "snapshot").slice(0, most) : this.story;
    this.items = parts.map(({ event, kind, text }) => {
      const item = element("li", { class: kind }, element("button", { type: "button", "data-event": event, onclick: () => this.select(event, true) },
        element("span", { class: "time" }, `${(this.run.time[event] / 1000).toFixed(3)} s`), ` ${text}`));
      return { event, item };
    });
    list.replaceChildren(...this.items.map(({ item }) => item));
  }

  markStory(event) {
    let now = null;
    for (const one of this.items) if (one.event <= event) now = one;
    if (now === this.marked) return;
    this.marked?.item.classList.remove("now");
    now?.item.classList.add("now");
    if (now) {
      // The list scrolls, and never the page.
      const list = now.item.parentElement, top = now.item.offsetTop - list.offsetTop;
      if (top < list.scrollTop || top + now.item.offsetHeight > list.scrollTop + list.clientHeight) {
        list.scrollTop = top - list.clientHeight / 2;
      }
    }
    this.marked = now;
  }
}
