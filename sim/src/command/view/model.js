// The run as the page uses it: columns of numbers become typed arrays, and look-ups at an instant are fast.
// An event is something that reaches a server, a client or the world; its lines say what that causes there and then.

const MESSAGE_LINES = new Set(["receive", "lost", "cut", "held", "unheard", "no room"]);

/** The sums of a column of differences. */
function summed(differences) {
  const sums = new Float64Array(differences.length);
  let sum = 0;
  for (let i = 0; i < differences.length; i++) sums[i] = sum += differences[i];
  return sums;
}

/** The last place in a sorted column that holds at most this value; -1 if there is none. */
function lastAtMost(column, value) {
  let low = 0, high = column.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (column[middle] <= value) low = middle + 1; else high = middle;
  }
  return low - 1;
}

class Run {
  constructor(data) {
    const recording = data.recording, lines = recording.lines;
    this.about = data;
    this.servers = recording.servers;
    this.clients = recording.clients;
    this.kinds = recording.kinds;
    this.memberships = recording.memberships;
    this.size = lines.event.length;
    this.event = summed(lines.event);
    this.at = summed(lines.at).map((nanos) => nanos / 1e6);
    this.cause = Float64Array.from(lines.cause, (ago, line) => this.event[line] - ago);
    this.place = Int8Array.from(lines.place);
    this.kind = Uint8Array.from(lines.kind);
    this.readTexts(recording.texts);
    this.end = Math.max(data.end_ns / 1e6, this.size ? this.at[this.size - 1] : 0, 0.001);
    this.events = Math.max(data.events, this.size ? this.event[this.size - 1] : 0);
    this.indexEvents();
    this.lastTold = this.size ? this.event[this.size - 1] : 0;
    this.states = recording.states.map((column) => this.readStates(column, data.fields));
    this.logs = recording.logs.map((column) => new LogHistory(column));
    this.readCuts(recording.cuts);
    this.readMessages();
    this.segments = this.states.map((states) => this.segmentsOf(states));
  }

  // ---- lines

  readTexts(texts) {
    // A hole is a # that is not quoted by a backslash.
    this.patterns = texts.patterns.map((pattern) => {
      const parts = [""];
      for (let i = 0; i < pattern.length; i++) {
        if (pattern[i] === "#") parts.push("");
        else {
          if (pattern[i] === "\\") i++;
          parts[parts.length - 1] += pattern[i];
        }
      }
      const message = parts.join("#").match(/^# -> # t# (\w+)/);
      return { parts, message: message ? message[1] : null };
    });
    this.pattern = Uint32Array.from(texts.pattern);
    this.numbers = texts.numbers;
    this.numbersFrom = new Uint32Array(this.size);
    let from = 0;
    for (let line = 0; line < this.size; line++) {
      this.numbersFrom[line] = from;
      from += this.patterns[this.pattern[line]].parts.length - 1;
    }
  }

  /** The text of a line. */
  text(line) {
    const { parts } = this.patterns[this.pattern[line]], from = this.numbersFrom[line];
    let text = parts[0];
    for (let i = 1; i < parts.length; i++) text += this.numbers[from + i - 1] + parts[i];
    return text;
  }

  what(line) { return this.kinds[this.kind[line]]; }
  message(line) { return MESSAGE_LINES.has(this.what(line)) ? this.patterns[this.pattern[line]].message : null; }
  number(line, nth) { return this.numbers[this.numbersFrom[line] + nth]; }

  // ---- events

  indexEvents() {
    const size = this.events + 2;
    this.firstLine = new Int32Array(size).fill(-1);
    this.time = new Float64Array(size);
    for (let line = this.size - 1; line >= 0; line--) this.firstLine[this.event[line]] = line;
    let time = 0;
    for (let event = 0; event < size; event++) {
      if (this.firstLine[event] >= 0) time = this.at[this.firstLine[event]];
      this.time[event] = time;
    }
    // What each event caused: the events, sorted by their cause.
    const counts = new Uint32Array(size + 1);
    for (let event = 0; event < size; event++) {
      const cause = this.causeOf(event);
      if (cause !== null) counts[cause + 1]++;
    }
    for (let event = 0; event < size; event++) counts[event + 1] += counts[event];
    this.effectsFrom = counts.slice();
    this.effectList = new Uint32Array(counts[size]);
    for (let event = 0; event < size; event++) {
      const cause = this.causeOf(event);
      if (cause !== null) this.effectList[counts[cause]++] = event;
    }
  }

  /** Whether the event has any lines. */
  isTold(event) { return event >= 0 && event < this.firstLine.length && this.firstLine[event] >= 0; }

  /** The event that caused it, or null. */
  causeOf(event) {
    const line = this.firstLine[event];
    return line < 0 || this.cause[line] === event ? null : this.cause[line];
  }

  effectsOf(event) { return this.effectList.subarray(this.effectsFrom[event], this.effectsFrom[event + 1]); }

  /** The lines of an event. */
  linesOf(event) {
    const lines = [];
    for (let line = this.firstLine[event]; line >= 0 && line < this.size && this.event[line] === event; line++) lines.push(line);
    return lines;
  }

  placeOf(event) { return this.isTold(event) ? this.place[this.firstLine[event]] : 0; }

  /** The causes of an event, the nearest first. */
  ancestors(event, most) {
    const found = [];
    for (let cause = this.causeOf(event); cause !== null && found.length < most; cause = this.causeOf(cause)) {
      found.push(cause);
      if (!this.isTold(cause)) break;
    }
    return found;
  }

  /** The last line at or before a time. */
  lineBy(time) { return lastAtMost(this.at, time); }

  // ---- the states of the servers

  readStates(column, fields) {
    const events = [], values = [], now = new Array(fields.length).fill(0);
    let event = 0;
    for (let i = 0; i < column.length;) {
      event += column[i++];
      const mask = column[i++];
      for (let field = 0; field < fields.length; field++) {
        if (mask >>> field & 1) now[field] = column[i++];
      }
      events.push(event);
      values.push(...now);
    }
    return { events: Float64Array.from(events), values: Float64Array.from(values), width: fields.length, fields };
  }

  /** The state of a server after an event, by the names of the fields. */
  stateAt(server, event) {
    const { events, values, width, fields } = this.states[server - 1];
    const row = lastAtMost(events, event), state = {};
    fields.forEach((field, i) => { state[field] = row < 0 ? 0 : values[row * width + i]; });
    return state;
  }

  /** The times during which a server's role, term and flags were the same. */
  segmentsOf({ events, values, width }) {
    const segments = [];
    for (let row = 0; row < events.length; row++) {
      const [role, flags, term] = values.subarray(row * width, row * width + 3);
      const last = segments[segments.length - 1];
      if (last && last.role === role && last.flags === flags && last.term === term) continue;
      const from = this.time[events[row]];
      if (last) last.to = from;
      segments.push({ from, to: this.end, role, flags, term, event: events[row] });
    }
    return segments;
  }

  readCuts(column) {
    this.cuts = { events: [], rows: [] };
    let event = 0;
    for (let i = 0; i < column.length; i += this.servers + 1) {
      this.cuts.events.push(event += column[i]);
      this.cuts.rows.push(column.slice(i + 1, i + 1 + this.servers));
    }
    // Where a server has any link cut, as spans of time.
    this.cutSpans = Array.from({ length: this.servers }, () => []);
    for (let server = 1; server <= this.servers; server++) {
      const spans = this.cutSpans[server - 1];
      this.cuts.rows.forEach((rows, i) => {
        let cut = 0;
        for (let other = 1; other <= this.servers; other++) {
          cut += (rows[server - 1] >> (other - 1) & 1) + (rows[other - 1] >> (server - 1) & 1);
        }
        const from = this.time[this.cuts.events[i]], last = spans[spans.length - 1];
        const share = cut / (2 * (this.servers - 1) || 1);
        if (last && last.to === null) {
          if (last.share === share) return;
          last.to = from;
        }
        if (cut) spans.push({ from, to: null, share });
      });
      for (const span of spans) span.to ??= this.end;
    }
  }

  /** Whether the link was cut after an event. */
  isCut(from, to, event) {
    const row = lastAtMost(this.cuts.events, event);
    return row >= 0 && (this.cuts.rows[row][from - 1] >> (to - 1) & 1) === 1;
  }

  // ---- messages

  /** Everything that went from one place to another, in the order in which it arrived or was lost. */
  readMessages() {
    const found = [];
    for (let line = 0; line < this.size; line++) {
      const what = this.what(line), event = this.event[line];
      if (MESSAGE_LINES.has(what)) {
        const from = this.number(line, 0), to = this.number(line, 1);
        found.push({ line, from, to, sent: this.time[this.cause[line]], arrived: this.at[line], kind: this.patterns[this.pattern[line]].message, fate: what });
      } else if (what === "request" || what === "hear") {
        const from = this.placeOf(this.cause[line]);
        if (from !== 0) found.push({ line, from, to: this.place[line], sent: this.time[this.cause[line]], arrived: this.at[line], kind: what, fate: "receive" });
      } else if (what === "ask" && !this.effectsOf(event).some((effect) => this.what(this.firstLine[effect]) === "request")) {
        // It led to no request: the network lost it, or its server was down.
        const to = Number((this.text(line).match(/at server (\d+)/) || [0, 0])[1]);
        if (to) found.push({ line, from: this.place[line], to, sent: this.at[line], arrived: this.at[line], kind: "request", fate: "lost" });
      }
    }
    this.messages = found;
    // Blocks of messages with the times that they span, so that a window finds its own without looking at all.
    this.blocks = [];
    for (let start = 0; start < found.length; start += 128) {
      const block = { start, end: Math.min(start + 128, found.length), from: Infinity, to: -Infinity };
      for (let i = start; i < block.end; i++) {
        block.from = Math.min(block.from, found[i].sent);
        block.to = Math.max(block.to, found[i].arrived);
      }
      this.blocks.push(block);
    }
  }

  /** The messages that were in flight at some time between these. */
  *messagesWithin(from, to) {
    for (const block of this.blocks) {
      if (block.from > to || block.to < from) continue;
      for (let i = block.start; i < block.end; i++) {
        const message = this.messages[i];
        if (message.sent <= to && message.arrived >= from) yield message;
      }
    }
  }
}

/** What a log held after each event: its changes, with a copy of the whole every so often. */
class LogHistory {
  constructor(column) {
    this.events = [];
    this.starts = [];
    this.column = column;
    this.copies = [];
    let event = 0, log = { first: 1, entries: [] };
    for (let i = 0; i < column.length;) {
      event += column[i];
      this.events.push(event);
      this.starts.push(i);
      log = this.changed(log, i);
      if (this.events.length % 64 === 0) this.copies.push({ first: log.first, entries: log.entries.slice() });
      i += 4 + 3 * column[i + 3];
    }
  }

  /** The log after the change at this place; changes and returns the log before it. */
  changed(log, place) {
    const [first, from, runs] = this.column.slice(place + 1, place + 4);
    let entries = log.entries;
    if (first < log.first || first > log.first + entries.length) entries = [];
    else if (first > log.first) entries.splice(0, first - log.first);
    entries.length = Math.min(entries.length, from - first);
    for (let run = 0; run < runs; run++) {
      const at = place + 4 + 3 * run;
      for (let i = 0; i < this.column[at + 2]; i++) entries.push(this.column[at] * 4 + this.column[at + 1]);
    }
    return { first, entries };
  }

  /** The log after an event: entry i has the index first + i and is its term times four and what it is. */
  at(event) {
    const change = lastAtMost(this.events, event) + 1;
    const copies = Math.floor(change / 64);
    const copy = copies ? this.copies[copies - 1] : { first: 1, entries: [] };
    let log = { first: copy.first, entries: copy.entries.slice() };
    for (let i = copies * 64; i < change; i++) log = this.changed(log, this.starts[i]);
    return log;
  }
}
