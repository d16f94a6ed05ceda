// The marks over the lanes: a mark per event, the causes and effects of the selected one, the end, the overview; and the hit test of
// the pointer.

Object.assign(Timeline.prototype, {
  drawGlyphs(g) {
    const { run } = this, first = Math.max(0, run.lineBy(this.from - 1e-9)), last = run.lineBy(this.to);
    this.glyphs = [];
    const isCrowded = last - first > MOST_GLYPHS;
    if (isCrowded) this.hidden.push("most marks of events");
    const found = new Set(this.matches);
    for (let line = first; line <= last; line++) {
      const what = run.what(line), place = run.place[line];
      const matters = what === "crash" || what === "start" || what === "failed";
      if (isCrowded && !matters) continue;
      if (place === 0 || what === "role" || what === "commit" || what === "persist" && line !== run.firstLine[run.event[line]]) {
        if (what !== "commit") continue;
      }
      if (!matters && !this.filter.allowsLine(line)) continue;
      const x = this.x(run.at[line]), y = this.y(place);
      if (x < LABEL_WIDTH - 5) continue;
      this.glyphs.push({ line, x, y });
      this.glyph(g, GLYPHS[what] || "dot", x, what === "commit" ? y + this.laneHeight * 0.36 : y, what);
    }
    if (found.size && found.size < 20000) {
      g.strokeStyle = this.colour("--found");
      g.lineWidth = 2;
      for (const event of this.matches) {
        const x = this.x(run.time[event]);
        if (x < LABEL_WIDTH || x > this.width) continue;
        g.beginPath();
        g.arc(x, this.y(run.placeOf(event)), 7, 0, 7);
        g.stroke();
      }
      g.lineWidth = 1;
    }
  },

  glyph(g, shape, x, y, what) {
    const ink = this.colour("--ink"), fault = this.colour("--fault"), page = this.colour("--page");
    g.lineWidth = 1.4;
    g.strokeStyle = g.fillStyle = ink;
    g.beginPath();
    switch (shape) {
      case "dot": g.arc(x, y, 2.6, 0, 7); g.strokeStyle = page; g.lineWidth = 2; g.stroke(); g.fill(); break;
      case "clock": g.arc(x, y, 4, 0, 7); g.fillStyle = page; g.fill(); g.moveTo(x, y - 3); g.lineTo(x, y); g.lineTo(x + 2.4, y); g.stroke(); break;
      case "disk": g.rect(x - 3, y - 3, 6, 6); g.fillStyle = what === "synced" ? ink : page; g.strokeStyle = what === "synced" ? page : ink; g.stroke(); g.fill(); if (what !== "synced") g.stroke(); break;
      case "check": g.moveTo(x - 4, y); g.lineTo(x - 1, y + 3.4); g.lineTo(x + 4.5, y - 4); g.lineWidth = 2; g.strokeStyle = this.colour("--commit"); g.stroke(); break;
      case "triangle": g.moveTo(x - 4, y - 5); g.lineTo(x + 5, y); g.lineTo(x - 4, y + 5); g.closePath(); g.fillStyle = page; g.fill(); g.stroke(); break;
      case "cross": {
        const size = what === "crash" || what === "failed" ? 7 : 3;
        g.moveTo(x - size, y - size); g.lineTo(x + size, y + size);
        g.moveTo(x - size, y + size); g.lineTo(x + size, y - size);
        g.strokeStyle = fault; g.lineWidth = size > 4 ? 3 : 1.5; g.stroke(); break;
      }
      case "pause": g.rect(x - 3, y - 4, 2, 8); g.rect(x + 1, y - 4, 2, 8); g.fillStyle = fault; g.fill(); break;
      default: g.arc(x, y, 2.4, 0, 7); g.stroke();
    }
    g.lineWidth = 1;
  },

  /** The selected event, what led to it and what it led to. */
  drawChain(g) {
    const { run, selected } = this;
    const link = (cause, effect, colour) => {
      if (!run.isTold(cause)) return;
      const from = run.placeOf(cause), to = run.placeOf(effect);
      g.strokeStyle = g.fillStyle = colour;
      g.lineWidth = 3;
      const message = { from, to, sent: run.time[cause], arrived: run.time[effect], fate: "receive" };
      const line = run.firstLine[effect];
      if (MESSAGE_LINES.has(run.what(line)) && run.what(line) !== "held") message.fate = run.what(line);
      if (from !== to && from !== 0 && to !== 0) this.arrow(g, message, [], true);
      else {
        g.beginPath();
        g.moveTo(this.x(run.time[cause]), this.y(from));
        g.lineTo(this.x(run.time[effect]), this.y(to));
        g.stroke();
      }
    };
    let effect = selected;
    for (const cause of run.ancestors(selected, 40)) {
      link(cause, effect, this.colour("--cause"));
      effect = cause;
    }
    const effects = run.effectsOf(selected);
    for (let i = 0; i < Math.min(effects.length, 60); i++) link(selected, effects[i], this.colour("--effect"));
    const x = this.x(run.time[selected]), y = this.y(run.placeOf(selected));
    g.strokeStyle = this.colour("--cursor");
    g.fillStyle = this.colour("--page");
    g.lineWidth = 3;
    g.beginPath();
    g.arc(x, y, 7, 0, 7);
    g.fill();
    g.stroke();
    g.lineWidth = 1;
  },

  drawEnd(g) {
    const { run } = this, x = this.x(run.end);
    if (x > this.width) return;
    g.fillStyle = this.colour("--page");
    g.globalAlpha = 0.7;
    g.fillRect(x + 1, 16, this.width - x, this.height);
    g.globalAlpha = 1;
    g.strokeStyle = run.about.violation ? this.colour("--fault") : this.colour("--soft");
    g.lineWidth = run.about.violation ? 4 : 2;
    g.beginPath();
    g.moveTo(x, 16);
    g.lineTo(x, this.height);
    g.stroke();
    g.lineWidth = 1;
    if (run.about.violation) {
      g.font = "700 13px system-ui, sans-serif";
      const label = `✕ ${run.about.violation.oracle}`, width = g.measureText(label).width;
      const left = x + width + 14 < this.width ? x + 6 : x - width - 6;
      g.textAlign = "left";
      g.fillStyle = this.colour("--page");
      g.fillRect(left - 3, 25, width + 6, 18);
      g.fillStyle = this.colour("--fault");
      g.fillText(label, left, 34);
    }
  },

  drawOverview() {
    const { run, overview } = this, g = overview.getContext("2d"), width = overview.clientWidth, height = 46;
    g.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    g.fillStyle = this.colour("--lane");
    g.fillRect(0, 0, width, height);
    const x = (time) => LABEL_WIDTH + time / run.end * (width - LABEL_WIDTH - 8);
    const row = 30 / run.servers;
    g.font = "11px system-ui, sans-serif";
    g.textAlign = "left";
    g.textBaseline = "middle";
    g.fillStyle = this.colour("--soft");
    g.fillText("the whole run", 10, height / 2);
    run.segments.forEach((segments, i) => {
      for (const { from, to, role, term } of segments) {
        const left = x(from), across = Math.max(0.6, x(to) - left), top = 5 + i * row;
        if (role === DOWN) g.fillStyle = this.colour("--down");
        else g.fillStyle = termColour(term);
        const thick = role === LEADER ? row - 1 : role >= PRE_CANDIDATE ? row * 0.6 : Math.max(1, row * 0.22);
        g.fillRect(left, top + (row - thick) / 2, across, thick);
      }
    });
    for (const band of this.faults) {
      g.fillStyle = band.heal ? this.colour("--heal") : this.colour("--fault");
      g.fillRect(x(band.from), 37, Math.max(2, x(band.to) - x(band.from)), 5);
    }
    g.fillStyle = this.colour("--found");
    if (this.matches.length < 20000) for (const event of this.matches) g.fillRect(x(run.time[event]), 0, 1.5, 5);
    if (run.about.violation) {
      g.fillStyle = this.colour("--fault");
      g.fillRect(x(run.end) - 1, 0, 3, height);
    }
    const left = x(Math.max(0, this.from)), right = x(Math.min(run.end, this.to));
    g.fillStyle = this.colour("--page");
    g.globalAlpha = 0.62;
    g.fillRect(LABEL_WIDTH, 0, left - LABEL_WIDTH, height);
    g.fillRect(right, 0, width - right, height);
    g.globalAlpha = 1;
    g.strokeStyle = this.colour("--ink");
    g.strokeRect(left + 0.5, 1, Math.max(3, right - left), height - 2);
    g.fillStyle = this.colour("--cursor");
    g.fillRect(x(run.time[this.selected]) - 1, 0, 2, height);
  },

  overviewTime(clientX) {
    const box = this.overview.getBoundingClientRect();
    return (clientX - box.left - LABEL_WIDTH) / (box.width - LABEL_WIDTH - 8) * this.run.end;
  },

  /** The event or message under the pointer, or null: { event, text }. */
  under(x, y) {
    const { run } = this;
    let best = null, least = 9;
    for (const glyph of this.glyphs || []) {
      const distance = Math.hypot(glyph.x - x, glyph.y - y);
      if (distance < least) [best, least] = [glyph, distance];
    }
    if (best) {
      const event = run.event[best.line];
      return { event, line: best.line };
    }
    let arrow = null;
    least = 5;
    for (const { message, x0, y0, x1, y1 } of this.arrows || []) {
      const length = Math.hypot(x1 - x0, y1 - y0) || 1;
      const along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / (length * length);
      if (along < 0 || along > 1) continue;
      const distance = Math.abs((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / length;
      if (distance < least) [arrow, least] = [message, distance];
    }
    return arrow ? { event: run.event[arrow.line], line: arrow.line } : null;
  },

  /** The event of a lane that is nearest to a point in the picture. */
  nearest(x, y) {
    const { run } = this, place = this.placeAt(y), line = run.lineBy(this.timeAt(x));
    let best = null, least = Infinity;
    for (const step of [-1, 1]) {
      for (let at = step < 0 ? line : line + 1, looked = 0; at >= 0 && at < run.size && looked < 2000; at += step, looked++) {
        if (run.place[at] !== place || !this.filter.allowsEvent(run.event[at])) continue;
        const distance = Math.abs(this.x(run.at[at]) - x);
        if (distance < least) [best, least] = [run.event[at], distance];
        break;
      }
    }
    return best;
  },
});
