//! Messages on wires: as bytes, on connections that break, on links of limited bandwidth.

use raft_core::Envelope;

use super::{Event, HostCommand, Simulation};
use crate::codec::{damage, estimated_bytes};
use crate::coverage::Probe;
use crate::network::Fate;
use crate::oracle::{Judgement, Oracle, violated};
use crate::places::{node_at, place_of};
use crate::schedule::Schedule;
use crate::workload::Workload;

/// Whether messages of this run are more than values with a delay.
pub(super) fn is_wired(schedule: &Schedule) -> bool {
    let network = &schedule.weather.network;
    network.stream || network.bytes_per_second > 0 || schedule.knobs.encode_messages
}

impl<W: Workload> Simulation<'_, W> {
    pub(super) fn send_on_wire(&mut self, at: usize, envelope: Box<Envelope>) -> Judgement {
        let codec = self
            .workload
            .codec()
            .filter(|_| self.schedule.knobs.encode_messages);
        let to = place_of(envelope.to);
        let Some(codec) = codec else {
            let fate = self
                .network
                .fate_on_wire(self.now, at, to, estimated_bytes(&envelope));
            self.launch(at, envelope, fate);
            return Ok(());
        };
        let mut bytes = codec.encode(&envelope);
        let decoded = match codec.decode(&bytes) {
            Ok(decoded) if decoded == *envelope => decoded,
            other => {
                let name = envelope.message.name();
                return violated(
                    Oracle::S23,
                    format!("{name} is encoded, but decodes as {other:?}"),
                );
            }
        };
        let fate = self.network.fate_on_wire(self.now, at, to, bytes.len() as u64);
        if matches!(fate, Fate::Arrives { .. })
            && let Some(mut draws) = self.network.damages(self.now, at, to)
        {
            let sound = bytes.clone();
            damage(&mut bytes, &self.earlier_bytes, &mut draws);
            self.earlier_bytes = sound;
            self.happened(Probe::MessageCorrupted, Some(at));
            match codec.decode(&bytes) {
                // Damage may leave the bytes as they were.
                Ok(other) if other == *envelope => {}
                Ok(other) => {
                    let name = envelope.message.name();
                    return violated(
                        Oracle::S23,
                        format!("the bytes of {name} were damaged, but decode as {other:?}"),
                    );
                }
                Err(_) => {
                    self.quiet.disturb_link(at, to, self.now);
                    self.connection_broke(at, to);
                    return Ok(());
                }
            }
        }
        // What arrives is what was decoded, and shares nothing with what was sent.
        self.launch(at, Box::new(decoded), fate);
        Ok(())
    }

    /// A connection is broken, and its sender learns of it.
    pub(super) fn connection_broke(&mut self, at: usize, to: usize) {
        if !self.network.is_stream() {
            return;
        }
        self.network.break_connection(self.now, at, to);
        self.happened(Probe::StreamBroken, Some(at));
        let peer = node_at(to);
        self.push(
            self.now,
            Event::Command {
                server: at,
                command: HostCommand::Unreachable(peer),
            },
        );
    }

    /// Breaks all connections from and to a server. Returns whether there are any.
    pub(super) fn break_connections(&mut self, at: usize) -> bool {
        if !self.network.is_stream() {
            return false;
        }
        for other in (0..self.servers.len()).filter(|&other| other != at) {
            self.network.break_connection(self.now, at, other);
            self.connection_broke(other, at);
        }
        true
    }

    /// Flips the state of flapping links, for as long as the fault lasts.
    pub(super) fn flap(&mut self, fault: usize) {
        use crate::schedule::FaultKind;

        let schedule = self.schedule;
        let Some(struck) = schedule.faults.get(fault) else {
            return;
        };
        let FaultKind::Partition {
            flap_every: Some(every),
            ..
        } = struck.kind
        else {
            return;
        };
        if self.network.flap(struck.id) {
            self.hash_event(18, u64::from(struck.id));
            self.happened(Probe::LinkFlapped, None);
            self.disturb_cut_links();
            self.release_held();
            self.push_after(every, Event::Flap { fault });
        }
    }
}
