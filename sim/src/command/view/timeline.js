// The pictures: the window onto the lanes, and the whole run above it. Only what is in the window is drawn.

const TERM_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a6fd1", "#b5a800"];
const DARK_TEXT_ON = new Set([1, 3, 4, 7]);
const LABEL_WIDTH = 116;
/** The most marks that are drawn (a style limits the arrows of its kind); the page says when some are left out. */
const MOST_GLYPHS = 4000;

const GLYPHS = {
  receive: "dot", wake: "clock", synced: "disk", persist: "disk", loaded: "disk", request: "dot", hear: "dot", ask: "dot", commit: "check",
  crash: "cross", failed: "cross", start: "triangle", "give up": "cross", lost: "cross", cut: "cross", unheard: "cross", "no room": "cross", held: "pause",
  role: "diamond", command: "dot", fault: "bolt", relent: "dot", heal: "heart",
};
/** The groups by which messages are filtered and drawn. */
const MESSAGE_GROUPS = {
  Hello: "hello", HelloReply: "hello", PreVote: "votes", PreVoteReply: "votes", Vote: "votes", VoteReply: "votes", TransferVote: "votes", TimeoutNow: "votes",
  Append: "appends", AppendReply: "appends", Heartbeat: "heartbeats", HeartbeatReply: "heartbeats", SnapshotChunk: "snapshots", SnapshotReply: "snapshots",
  request: "clients", hear: "clients", Forward: "clients", ForwardRefused: "clients", ReadIndex: "clients", ReadIndexReply: "clients",
};
const GROUP_STYLE = {
  votes: { dash: [7, 4], width: 1.8, rank: 0, most: 1500, colour: "--votes" }, snapshots: { dash: [], width: 3, rank: 1, most: 1000, colour: "--snapshots" },
  hello: { dash: [2, 3], width: 1, rank: 2, most: 500, colour: "--faint" }, appends: { dash: [], width: 1.3, rank: 2, most: 1200, colour: "--appends" },
  clients: { dash: [10, 3, 2, 3], width: 1, rank: 3, most: 800, colour: "--clients" }, heartbeats: { dash: [1, 4], width: 1.1, rank: 4, most: 500, colour: "--faint" },
};

function termColour(term) { return term === 0 ? "#8b94a1" : TERM_COLOURS[(term - 1 + TERM_COLOURS.length) % TERM_COLOURS.length]; }
function textOnTerm(term) { return DARK_TEXT_ON.has((term - 1 + 8) % 8) ? "#111" : "#fff"; }

class Timeline {
  constructor(run, filter) {
    this.run = run;
    this.filter = filter;
    this.canvas = document.getElementById("timeline");
    this.overview = document.getElementById("overview");
    this.left = LABEL_WIDTH;
    this.from = 0;
    this.to = run.end;
    this.selected = 0;
    this.matches = [];
    this.faults = this.faultBands();
  }

  colour(name) { return this.style.getPropertyValue(name).trim(); }

  resize() {
    this.style = getComputedStyle(document.documentElement);
    const ratio = window.devicePixelRatio || 1;
    const room = document.getElementById("scroll").clientHeight, width = document.getElementById("scroll").clientWidth;
    const { servers, clients } = this.run;
    this.top = 44;
    this.clientHeight = clients > 6 ? 16 : 20;
    this.laneHeight = Math.max(44, Math.min(84, (room - this.top - clients * this.clientHeight - 10) / servers));
    this.height = Math.max(room, this.top + servers * this.laneHeight + clients * this.clientHeight + 10);
    this.width = width;
    for (const [canvas, w, h] of [[this.canvas, width, this.height], [this.overview, this.overview.clientWidth, 46]]) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
      canvas.style.height = `${h}px`;
    }
    this.ratio = ratio;
    this.patterns = null;
    this.draw();
  }

  // ---- where things are

  x(time) { return LABEL_WIDTH + (time - this.from) / (this.to - this.from) * (this.width - LABEL_WIDTH - 8); }
  timeAt(x) { return this.from + (x - LABEL_WIDTH) / (this.width - LABEL_WIDTH - 8) * (this.to - this.from); }
  y(place) {
    const { servers } = this.run;
    if (place === 0) return 32;
    if (place > 0) return this.top + (place - 0.5) * this.laneHeight;
    return this.top + servers * this.laneHeight + 6 + (-place - 0.5) * this.clientHeight;
  }

  placeAt(y) {
    const { servers, clients } = this.run;
    if (y < this.top) return 0;
    const server = Math.floor((y - this.top) / this.laneHeight) + 1;
    if (server <= servers) return server;
    const client = Math.floor((y - this.top - servers * this.laneHeight - 6) / this.clientHeight) + 1;
    return client >= 1 && client <= clients ? -client : null;
  }

  show(from, to) {
    const { end } = this.run, least = 0.02;
    let span = Math.max(least, Math.min(to - from, end * 1.04));
    const middle = (from + to) / 2;
    from = Math.max(-end * 0.02, Math.min(middle - span / 2, end * 1.02 - span));
    this.from = from;
    this.to = from + span;
    this.draw();
  }

  zoom(factor, around = this.run.time[this.selected]) {
    if (around < this.from || around > this.to) around = (this.from + this.to) / 2;
    this.show(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  pan(share) {
    const by = (this.to - this.from) * share;
    this.show(this.from + by, this.to + by);
  }

  /** Moves the window so that the selected event is in it. */
  reveal() {
    const time = this.run.time[this.selected], span = this.to - this.from;
    if (time < this.from + span * 0.06 || time > this.to - span * 0.06) this.show(time - span / 2, time + span / 2);
    else this.draw();
  }

  // ---- drawing

  draw() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.drawNow();
    });
  }

  drawNow() {
    if (!this.style) return;
    const g = this.canvas.getContext("2d");
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.g = g;
    this.patterns ??= this.makePatterns(g);
    g.fillStyle = this.colour("--page");
    g.fillRect(0, 0, this.width, this.height);
    this.drawLanes(g);
    g.save();
    g.beginPath();
    g.rect(LABEL_WIDTH, 0, this.width - LABEL_WIDTH, this.height);
    g.clip();
    this.drawGrid(g);
    this.drawFaults(g);
    for (let server = 1; server <= this.run.servers; server++) this.drawRoles(g, server);
    this.drawCursor(g);
    this.drawArrows(g);
    this.drawGlyphs(g);
    this.drawEnd(g);
    this.drawChain(g);
    g.restore();
    this.drawOverview();
    document.getElementById("hint").textContent = this.hidden.length ? `Too much for one picture: ${this.hidden.join(", ")} are not drawn. Zoom in to see them.` : "";
  }

  makePatterns(g) {
    const pattern = (size, paint) => {
      const tile = document.createElement("canvas");
      tile.width = tile.height = size;
      paint(tile.getContext("2d"), size);
      return g.createPattern(tile, "repeat");
    };
    const ink = this.colour("--ink"), page = this.colour("--page");
    const stripes = (colour, width) => (c, size) => {
      c.strokeStyle = colour;
      c.lineWidth = width;
      for (const shift of [-size, 0, size]) {
        c.beginPath();
        c.moveTo(shift, size);
        c.lineTo(shift + size, 0);
        c.stroke();
      }
    };
    return {
      candidate: pattern(9, stripes(page, 3.4)),
      dots: pattern(7, (c) => { c.fillStyle = page; c.beginPath(); c.arc(3.5, 3.5, 2, 0, 7); c.fill(); }),
      down: pattern(8, (c, size) => {
        stripes(this.colour("--line"), 1)(c, size);
        c.beginPath(); c.moveTo(0, 0); c.lineTo(size, size); c.stroke();
      }),
      paused: pattern(8, (c) => { c.fillStyle = ink; c.globalAlpha = 0.55; c.fillRect(0, 0, 2.5, 8); }),
      fault: pattern(8, stripes(this.colour("--fault"), 1.5)),
    };
  }

  drawLanes(g) {
    g.textBaseline = "middle";
    for (const place of this.lanes()) {
      const y = this.y(place), height = place > 0 ? this.laneHeight : this.clientHeight, off = this.filter.isLaneOff(place);
      g.globalAlpha = off ? 0.35 : 1;
      if (place > 0 && place % 2 === 1) {
        g.fillStyle = this.colour("--lane");
        g.fillRect(0, y - height / 2, this.width, height);
      }
      g.strokeStyle = this.colour("--line");
      g.lineWidth = 1;
      g.beginPath();
      g.moveTo(LABEL_WIDTH, Math.round(y) + 0.5);
      g.lineTo(this.width, Math.round(y) + 0.5);
      g.stroke();
      g.fillStyle = this.colour("--ink");
      g.textAlign = "left";
      if (place > 0) {
        const state = this.run.stateAt(place, this.selected);
        g.font = "600 13px system-ui, sans-serif";
        g.fillText(`server ${place}`, 10, y - 8);
        g.font = "11px system-ui, sans-serif";
        g.fillStyle = this.colour("--soft");
        g.fillText(`${ROLES[state.role]}${state.term ? ", term " + state.term : ""}`, 10, y + 9);
      } else {
        g.font = "11px system-ui, sans-serif";
        g.fillStyle = this.colour("--soft");
        g.fillText(`client ${-place}`, 10, y);
      }
      g.globalAlpha = 1;
    }
  }

  *lanes() {
    for (let server = 1; server <= this.run.servers; server++) yield server;
    for (let client = 1; client <= this.run.clients; client++) yield -client;
  }

  drawGrid(g) {
    const span = this.to - this.from, rough = span / Math.max(2, (this.width - LABEL_WIDTH) / 110);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
    g.font = "11px system-ui, sans-serif";
    g.textAlign = "center";
    g.textBaseline = "middle";
    for (let time = Math.ceil(Math.max(0, this.from) / step) * step; time <= this.to; time += step) {
      const x = Math.round(this.x(time)) + 0.5;
      g.strokeStyle = this.colour("--grid");
      g.lineWidth = 1;
      g.beginPath();
      g.moveTo(x, 18);
      g.lineTo(x, this.height);
      g.stroke();
      g.fillStyle = this.colour("--soft");
      g.fillText(step >= 1000 ? `${(time / 1000).toFixed(0)} s` : time >= 1000 && step >= 10 ? `${(time / 1000).toFixed(step >= 100 ? 1 : 2)} s` : `${+time.toFixed(3)} ms`, x, 9);
    }
  }

  /** Each fault from when it strikes until it ends. */
  faultBands() {
    const bands = [], open = new Map();
    for (let line = 0; line < this.run.size; line++) {
      const what = this.run.what(line);
      if (what !== "fault" && what !== "relent" && what !== "heal") continue;
      const text = this.run.text(line), id = text.split(" ")[0], at = this.run.at[line];
      if (what === "heal") {
        for (const band of open.values()) band.to = at;
        open.clear();
        bands.push({ from: at, to: this.run.end, name: "healed", heal: true, row: 0 });
      } else if (what === "relent") {
        const band = open.get(id);
        if (band) band.to = at;
        open.delete(id);
      } else {
        const fault = this.run.about.faults.find((fault) => String(fault.id) === id);
        const band = { from: at, to: at, name: faultName(this.run, text), lasts: Boolean(fault && fault.lasts) };
        bands.push(band);
        if (band.lasts) {
          band.to = this.run.end;
          open.set(id, band);
        }
      }
    }
    return bands;
  }

  drawFaults(g) {
    g.font = "11px system-ui, sans-serif";
    g.textAlign = "left";
    // One veil over all times with at least one fault, however many there are.
    g.fillStyle = this.colour("--fault-veil");
    let veiled = -Infinity;
    for (const band of this.faults) {
      if (band.heal || !band.lasts || band.to < this.from || band.from > this.to || band.to <= veiled) continue;
      const from = this.x(Math.max(band.from, veiled));
      g.fillRect(from, this.top - 20, Math.max(1, this.x(band.to) - from), this.height);
      veiled = band.to;
    }
    let until = -Infinity;
    for (const band of this.faults) {
      if (band.to < this.from || band.from > this.to) continue;
      const from = Math.max(this.x(band.from), LABEL_WIDTH - 2), to = Math.min(this.x(band.to), this.width + 2);
      g.fillStyle = band.heal ? this.colour("--heal") : this.patterns.fault;
      g.fillRect(from, 20, Math.max(3, to - from), 5);
      if (!band.heal) {
        g.strokeStyle = this.colour("--fault");
        g.setLineDash([3, 3]);
        g.beginPath();
        g.moveTo(Math.round(from) + 0.5, 20);
        g.lineTo(Math.round(from) + 0.5, this.height);
        g.stroke();
        g.setLineDash([]);
      }
      const width = g.measureText(band.name).width;
      if (from > until && from + width < this.width) {
        g.fillStyle = band.heal ? this.colour("--heal-ink") : this.colour("--fault");
        g.fillText(band.name, from + 3, 34);
        until = from + width + 12;
      }
    }
  }

  drawRoles(g, server) {
    const y = this.y(server), full = this.laneHeight * 0.5, segments = this.run.segments[server - 1];
    g.globalAlpha = this.filter.isLaneOff(server) ? 0.15 : 1;
    for (const segment of segments) {
      if (segment.to < this.from || segment.from > this.to) continue;
      const from = Math.max(this.x(segment.from), this.left - 4), to = Math.min(this.x(segment.to), this.width + 4);
      const width = Math.max(1, to - from), { role, term } = segment;
      const share = [0.5, 0.24, 0.3, 0.6, 0.8, 1][role], height = full * share;
      if (role === DOWN) {
        g.fillStyle = this.patterns.down;
        g.fillRect(from, y - height / 2, width, height);
      } else if (role === JOINING) {
        g.strokeStyle = this.colour("--soft");
        g.setLineDash([4, 3]);
        g.strokeRect(from, y - height / 2, width, height);
        g.setLineDash([]);
      } else {
        g.fillStyle = termColour(term);
        g.fillRect(from, y - height / 2, width, height);
        if (role === PRE_CANDIDATE || role === CANDIDATE) {
          g.fillStyle = role === CANDIDATE ? this.patterns.candidate : this.patterns.dots;
          g.fillRect(from, y - height / 2, width, height);
        }
        if (role === LEADER) {
          g.strokeStyle = this.colour("--ink");
          g.lineWidth = 2;
          g.strokeRect(from, y - height / 2, width, height);
        }
      }
      if (segment.flags & PAUSED) {
        g.fillStyle = this.patterns.paused;
        g.fillRect(from, y - full / 2, width, full);
      }
      if (segment.flags & ~PAUSED) {
        g.fillStyle = this.patterns.fault;
        g.fillRect(from, y + full / 2 + 2, width, 4);
      }
      this.labelRole(g, segment, from, to, y, height);
    }
    for (const span of this.run.cutSpans[server - 1]) {
      // One cut link of many shows in the network; the lane is marked where half of the links or more are cut.
      if (span.to < this.from || span.from > this.to || span.share < 0.49) continue;
      const from = this.x(span.from), to = this.x(span.to);
      g.strokeStyle = this.colour("--fault");
      g.lineWidth = span.share >= 0.99 ? 2.5 : 1.2;
      g.setLineDash(span.share >= 0.99 ? [9, 3] : [3, 4]);
      for (const side of [-1, 1]) {
        g.beginPath();
        g.moveTo(from, y + side * (this.laneHeight / 2 - 3));
        g.lineTo(to, y + side * (this.laneHeight / 2 - 3));
        g.stroke();
      }
      g.setLineDash([]);
      g.lineWidth = 1;
    }
    g.globalAlpha = 1;
  }

  labelRole(g, { role, term, flags }, from, to, y, height) {
    const name = ["down", "joining", `t${term}`, `asks, t${term}`, `candidate t${term}`, `leader t${term}`][role] + (flags & PAUSED ? ", paused" : "");
    g.font = `${role === LEADER ? "600 12" : "11"}px system-ui, sans-serif`;
    g.textAlign = "left";
    g.textBaseline = "middle";
    const width = g.measureText(name).width, left = Math.max(from, LABEL_WIDTH) + 5;
    if (left + width + 4 > to) return;
    // Above the bar, where the ink shows and no mark covers it.
    g.fillStyle = this.colour(role === LEADER ? "--ink" : "--soft");
    g.fillText(name, left, y - height / 2 - 7);
  }

  drawCursor(g) {
    const x = Math.round(this.x(this.run.time[this.selected])) + 0.5;
    g.strokeStyle = this.colour("--cursor");
    g.lineWidth = 1.5;
    g.beginPath();
    g.moveTo(x, 16);
    g.lineTo(x, this.height);
    g.stroke();
    g.lineWidth = 1;
  }

  drawArrows(g) {
    this.hidden = [];
    this.arrows = [];
    const byGroup = {};
    for (const message of this.run.messagesWithin(this.from, this.to)) {
      if (!this.filter.allowsMessage(message)) continue;
      (byGroup[MESSAGE_GROUPS[message.kind] || "appends"] ||= []).push(message);
    }
    const groups = Object.keys(byGroup).sort((one, other) => GROUP_STYLE[one].rank - GROUP_STYLE[other].rank);
    const shown = [];
    for (const group of groups) {
      if (byGroup[group].length > GROUP_STYLE[group].most) {
        this.hidden.push(`${byGroup[group].length.toLocaleString("en")} messages (${group})`);
        continue;
      }
      shown.push(group);
    }
    for (const group of shown.reverse()) {
      const style = GROUP_STYLE[group];
      g.lineWidth = style.width;
      g.strokeStyle = g.fillStyle = this.colour(style.colour);
      for (const message of byGroup[group]) this.arrow(g, message, style.dash);
    }
    g.setLineDash([]);
  }

  arrow(g, message, dash, heavy = false) {
    const { from, to, fate } = message;
    let x0 = this.x(message.sent), x1 = this.x(message.arrived), y0 = this.edge(from, to), y1 = this.edge(to, from);
    if (fate === "held") return;
    const isGone = fate !== "receive";
    if (isGone && fate !== "unheard" && x1 - x0 < 3) {
      // Lost when it was sent: a stub with a cross.
      x1 = x0 + 8;
      y1 = y0 + Math.sign(y1 - y0) * 16;
    }
    g.setLineDash(dash);
    g.globalAlpha = isGone && !heavy ? 0.75 : 1;
    g.beginPath();
    g.moveTo(x0, y0);
    g.lineTo(x1, y1);
    g.stroke();
    g.setLineDash([]);
    const angle = Math.atan2(y1 - y0, x1 - x0);
    if (isGone) {
      const before = g.strokeStyle;
      g.strokeStyle = this.colour("--fault");
      g.lineWidth += 0.5;
      g.beginPath();
      g.moveTo(x1 - 4, y1 - 4); g.lineTo(x1 + 4, y1 + 4);
      g.moveTo(x1 - 4, y1 + 4); g.lineTo(x1 + 4, y1 - 4);
      g.stroke();
      g.lineWidth -= 0.5;
      g.strokeStyle = before;
    } else {
      const size = heavy ? 9 : 6.5;
      g.beginPath();
      g.moveTo(x1, y1);
      g.lineTo(x1 - size * Math.cos(angle - 0.4), y1 - size * Math.sin(angle - 0.4));
      g.lineTo(x1 - size * Math.cos(angle + 0.4), y1 - size * Math.sin(angle + 0.4));
      g.fill();
    }
    g.globalAlpha = 1;
    if (!heavy) this.arrows.push({ message, x0, y0, x1, y1 });
  }

  /** Where an arrow touches a lane: at the side that faces the other one. */
  edge(place, other) {
    const y = this.y(place), away = place > 0 ? this.laneHeight * 0.16 : 3;
    return y + Math.sign(this.y(other) - y) * away;
  }
}
