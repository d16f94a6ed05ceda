// Explains events to readers who learn Raft from a run. § are sections of the paper (Ongaro and Ousterhout, "In Search of an
// Understandable Consensus Algorithm", extended version); "dissertation" is Ongaro's.

const MESSAGE_WORDS = {
  Hello: "A server whose disk is empty asks the others whether this is the first start of the cluster. Only then may it vote: a server that lost its disk has forgotten its votes.",
  HelloReply: "The answer to a server that asked whether this is the first start.",
  PreVote: "“Would you vote for me?” No server changes its state for it. Only with a majority of granted pre-votes does the server raise its term. So a server that was partitioned does not disturb the others when it comes back (dissertation §9.6).",
  PreVoteReply: "The answer to “would you vote for me?”. It is not a vote, and does not bind the server that gives it.",
  Vote: "A candidate asks for a vote in its term. A server gives one vote per term, and only to a candidate whose log is at least as up to date as its own: a later last term, or the same and at least as long (§5.2, §5.4.1).",
  TransferVote: "A vote request from a candidate that the leader told to take over (dissertation §3.10).",
  VoteReply: "A vote, granted or denied. A vote is sent only once it is on the voter's disk. Otherwise the voter could forget it in a restart and vote twice (§5.2).",
  Append: "The leader sends entries, with the index and term of the entry right before them. The follower accepts them only if it has that very entry. So by induction both logs are the same up to there (§5.3).",
  AppendReply: "The follower reports how far its log on disk matches the leader's. Or it lacks the entry before the new ones, and the leader tries an earlier one (§5.3).",
  Heartbeat: "The leader's empty message, which keeps followers from starting an election (§5.2). It also carries the commit index.",
  HeartbeatReply: "The answer to a heartbeat. A majority of them confirms to the leader that it still leads, which a linearizable read needs (dissertation §6.4).",
  SnapshotChunk: "The follower lacks entries from before the start of the leader's log, so it gets a piece of a snapshot instead (§7).",
  SnapshotReply: "How much of the snapshot has arrived.",
  TimeoutNow: "The leader hands over: this server should campaign at once (dissertation §3.10).",
  Forward: "A server forwards its clients' commands to the leader.",
  ForwardRefused: "The leader rejects commands that were forwarded to it, with a reason.",
  ReadIndex: "A server asks the leader how far the log is committed, so that it can answer a read by itself (dissertation §6.4).",
  ReadIndexReply: "How far the log was committed when the leader was asked, once a majority has confirmed that it leads.",
  request: "A client's request arrives at a server. Only a leader can serve it. Other servers forward it, or reject it and name the leader, if they know it.",
};

const FATE_WORDS = {
  lost: "The network lost this message. Raft tolerates that: everything that matters is sent again.",
  cut: "The link is cut: the message is gone.",
  held: "The link is cut and keeps the message until it is whole again; then it arrives late.",
  unheard: "The server is down, so the message is lost.",
  "no room": "The link's queue is full, and the message is dropped.",
};

const LINE_WORDS = {
  start: "The server starts with what its disk kept: term, vote, log. Everything else is volatile and is learned again: its role, what is committed, what other servers have (§5.1, Figure 2).",
  wake: "A timer: a follower that has not heard from a leader for an election timeout starts an election; a leader sends heartbeats (§5.2).",
  synced: "The write is now durable. Votes and acknowledgements wait for this: only now may the server send them.",
  loaded: "Old entries were read back from the disk, for a lagging follower.",
  persist: "A write goes to the disk. Until it is synced, a crash may lose it.",
  role: "The server changes its role. Every role change belongs to a term; a term has at most one leader (§5.2).",
  commit: "The server learns that entries are committed: they are on a majority's disks, so every future leader will have them (§5.4). Committed entries are applied to the state machine.",
  members: "A new configuration is in force here, from the moment that it is appended; it need not be committed (§6). While it is joint, elections and commitment need a majority of the new voters and a majority of the old ones.",
  changed: "The change that an operator asked for is committed.",
  crash: "The process dies. Its memory is gone; its disk keeps what was synced, and perhaps more.",
  failed: "A write to the disk failed. The server can no longer keep its promises, so it stops.",
  ask: "A client sends an operation to the server that it believes to lead.",
  hear: "A client receives an answer.",
  "give up": "A client has waited long enough. Its request may have been applied, or may be applied later, or never: it cannot know.",
  fault: "The simulator breaks something.",
  relent: "A fault ends.",
  heal: "The faults end. From here on, a majority must elect a leader, agree on everything and serve every client within a bounded time.",
  command: "The server's host gives it a command.",
};

const ROLE_WORDS = {
  Leader: "It won a majority of the votes, so it leads this term: it alone appends new entries, and the others copy its log (§5.2).",
  Candidate: "It raised its term, voted for itself, and asks the others for their votes (§5.2).",
  PreCandidate: "It has not heard from a leader for an election timeout, and first asks whether it could win an election.",
  Follower: "It follows the leader of its term, or waits to hear of one.",
  Joining: "Its disk was empty, so it asks the other servers whether this is the first start before it takes part.",
};

/** What a line means. */
function meaning(run, line) {
  const what = run.what(line);
  if (FATE_WORDS[what]) return FATE_WORDS[what];
  if (what === "receive") return MESSAGE_WORDS[run.message(line)] || "";
  if (what === "request") return MESSAGE_WORDS.request;
  if (what === "role") return ROLE_WORDS[run.text(line).split(" ")[0]] || LINE_WORDS.role;
  return LINE_WORDS[what] || "";
}

/** What an event was, in a few words. */
function title(run, event) {
  const line = run.firstLine[event];
  if (line < 0) return "(nothing was recorded)";
  const what = run.what(line), where = placeName(run, run.place[line]), text = run.text(line);
  if (MESSAGE_LINES.has(what)) {
    const name = run.message(line), from = run.number(line, 0), to = run.number(line, 1);
    switch (what) {
      case "receive": return `server ${to} receives ${name} from server ${from}`;
      case "unheard": return `${name} from server ${from} to server ${to}, which is down`;
      case "held": return `${name} from server ${from} to server ${to} is held back`;
      default: return `${name} from server ${from} to server ${to} is ${what === "no room" ? "dropped" : what}`;
    }
  }
  switch (what) {
    case "wake": return `a timer of ${where}`;
    case "synced": return `${where}: the disk has synced`;
    case "persist": return `${where} writes to its disk`;
    case "start": return `${where} starts`;
    case "crash": return `${where} crashes`;
    case "request": return `${where} receives a client's request`;
    case "ask": case "hear": case "give up": return `${where}: ${text}`;
    case "fault": return `fault ${faultName(run, text)}`;
    case "relent": return `end of fault ${text}`;
    case "heal": return `the faults end: ${text}`;
    default: return `${where}: ${what} ${text}`;
  }
}

/** "3 partition [2]" as "3: partition of server 2". */
function faultName(run, text) {
  const parts = text.match(/^(\d+) (\w+) \[(.*)\]$/);
  if (!parts) return text;
  return `${parts[1]}: ${parts[2].replaceAll("_", " ")}${parts[3] ? " of server " + parts[3] : ""}`;
}

function placeName(run, place) {
  return place === 0 ? "the world" : place > 0 ? `server ${place}` : `client ${-place}`;
}

/** 1234.5678 as "1,234.568 ms". */
function milliseconds(time) {
  return `${time.toFixed(3).replace(/\B(?=(\d{3})+\.)/g, ",")} ms`;
}

const ROLES = ["down", "joining", "follower", "pre-candidate", "candidate", "leader"];
const DOWN = 0, JOINING = 1, FOLLOWER = 2, PRE_CANDIDATE = 3, CANDIDATE = 4, LEADER = 5;
const PAUSED = 1, DISK_FAILED = 2;

/** When each new configuration first came into force at a server, which is when it is appended (§6). */
function changesOfMembership(run) {
  const found = [];
  run.states.forEach((states, i) => {
    const field = states.fields.indexOf("membership");
    for (let row = 1; row < states.events.length; row++) {
      const [before, membership] = [row - 1, row].map((at) => states.values[at * states.width + field]);
      if (before && membership && before !== membership) found.push({ event: states.events[row], server: i + 1, membership });
    }
  });
  found.sort((one, other) => one.event - other.event);
  return found.filter(({ membership }, i) => i === 0 || !found.slice(0, i).some((earlier) => earlier.membership === membership));
}

/** The moments of the story, in order: { event, kind, text }. */
function storyOf(run) {
  const story = [], leading = new Map();
  const tell = (event, kind, text) => story.push({ event, kind, text });
  const isOfFault = (event) => run.what(run.firstLine[event]) === "fault";
  for (let line = 0; line < run.size; line++) {
    const what = run.what(line), place = run.place[line], event = run.event[line];
    switch (what) {
      case "role": {
        const [role, , , term] = run.text(line).split(" ");
        if (role === "Leader") {
          const others = [...leading.keys()].filter((other) => other !== place);
          tell(event, "leader", `Server ${place} leads term ${term}` + (others.length ? `, and server ${others.join(" and ")} still believes that it leads` : ""));
          leading.set(place, { event, told: false });
        } else {
          if (leading.delete(place)) tell(event, "", `Server ${place} no longer leads`);
          if (role === "Candidate") tell(event, "candidate", `Server ${place} campaigns in term ${term}`);
        }
        break;
      }
      case "commit": {
        const lead = leading.get(place);
        if (lead && !lead.told) {
          lead.told = true;
          const last = run.number(line, 0), term = run.stateAt(place, event).term, log = run.logs[place - 1].at(event);
          const before = run.stateAt(place, event - 1).commit;
          const entry = log.entries[before + 1 - log.first];
          const earlier = entry !== undefined && Math.floor(entry / 4) < term;
          tell(event, "commit", earlier
            ? `Server ${place} commits entries of earlier terms, by one of its own (§5.4.2), up to ${last}`
            : `Server ${place} commits its first entry, ${last}`);
        }
        break;
      }
      case "persist": {
        const text = run.text(line), removed = text.match(/truncate from (\d+)/), snapshot = text.match(/snapshot up to (\S+?)(,|$)/);
        if (removed) tell(event, "truncate", `Server ${place} truncates its log from ${removed[1]} on: its leader has other entries there (§5.3)`);
        if (snapshot) tell(event, "snapshot", `Server ${place} writes a snapshot up to ${snapshot[1]}`);
        break;
      }
      case "crash": leading.delete(place); if (!isOfFault(event)) tell(event, "fault", `Server ${place} crashes`); break;
      case "failed": tell(event, "fault", `The disk of server ${place} fails`); break;
      case "start": if (run.number(line, 0) > 1) tell(event, "", `Server ${place} starts again`); break;
      case "fault": tell(event, "fault", `Fault ${faultName(run, run.text(line))}`); break;
      case "relent": tell(event, "", `Fault ${run.text(line).replaceAll("_", " ")} ends`); break;
      case "heal": tell(event, "heal", "The faults end"); break;
    }
  }
  for (const { event, server, membership } of changesOfMembership(run)) {
    tell(event, "membership", `The log of server ${server} gets a new configuration: ${run.memberships[membership]}`);
  }
  story.sort((one, other) => one.event - other.event);
  if (run.about.violation) tell(run.lastTold, "violation", `${run.about.violation.oracle}: ${run.about.violation.message}`);
  return story;
}
