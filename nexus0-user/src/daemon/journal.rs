//! What happened: each event becomes a log line, the last ones are kept for `status`.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv6Addr;
use std::time::Duration;

use nexus0_core::event::Reason;
use nexus0_core::id::NodeId;
use nexus0_core::node::Event;
use nexus0_core::time::Time;

use crate::api::types::{EventLine, Failover};

/// Lines kept.
const KEPT: usize = 16;
/// Names kept; far more than a roster has.
const NAMES: usize = 4096;

/// The memory of events.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) events: VecDeque<EventLine>,
    pub(super) failovers: VecDeque<Failover>,
    pub(super) join: Option<Duration>,
    pub(super) cold_start: Option<Duration>,
    names: BTreeMap<NodeId, String>,
}

impl Journal {
    /// Remembers what a node is called, also after it has left the roster.
    pub(super) fn call(&mut self, id: NodeId, name: &str) {
        if self.names.len() >= NAMES {
            self.names.clear();
        }
        self.names.insert(id, name.to_owned());
    }

    /// What a node is or was called here.
    pub(super) fn called(&self, id: NodeId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    /// Takes an event.
    pub(super) fn record(&mut self, now: Time, event: &Event) {
        if let Event::PeerAdded { id, name } = event {
            self.call(*id, name);
        }
        let name = |id: NodeId| {
            self.names
                .get(&id)
                .cloned()
                .unwrap_or_else(|| id.to_string())
        };
        let text = describe(event, name);
        let kind = kind(event);
        tracing::info!(event = kind.as_str(), "{text}");
        keep(
            &mut self.events,
            EventLine {
                at_ns: now.0,
                kind,
                text,
            },
        );
        self.measure(now, event);
    }

    fn measure(&mut self, now: Time, event: &Event) {
        match event {
            Event::Joined { elapsed, .. } => self.join = Some(*elapsed),
            Event::ColdStart { elapsed } => self.cold_start = Some(*elapsed),
            Event::AnchorChanged {
                old,
                new,
                chain,
                number,
                reason,
            } => {
                let failover = Failover {
                    at_ns: now.0,
                    from: old.map(|id| id.to_string()),
                    to: new.to_string(),
                    chain: chain.to_string(),
                    number: *number,
                    reason: reason_word(*reason),
                    pulse_ns: None,
                    took_ms: None,
                };
                keep(&mut self.failovers, failover);
            }
            Event::FirstPulseOf { chain, elapsed, .. } => {
                let chain = chain.to_string();
                let change = self
                    .failovers
                    .iter_mut()
                    .rev()
                    .find(|change| change.chain == chain);
                if let Some(change) = change {
                    change.pulse_ns = Some(now.0);
                    change.took_ms = elapsed.map(|elapsed| elapsed.as_millis() as u64);
                }
            }
            Event::EpochTurned { .. }
            | Event::Promoted { .. }
            | Event::SteppedBack { .. }
            | Event::PreemptionAnnounced { .. }
            | Event::PreemptionDropped { .. }
            | Event::Cheated { .. }
            | Event::PeerAdded { .. }
            | Event::PeerGone { .. }
            | Event::AnchorSilent { .. }
            | Event::Stateless { .. }
            | Event::AnchorLeft { .. }
            | Event::Merging { .. }
            | Event::MergeAbandoned { .. }
            | Event::RevocationsTaken { .. }
            | Event::Expelled { .. }
            | Event::Resumed { .. }
            | Event::SameIdentity { .. }
            | Event::Rejoining => {}
        }
    }
}

fn keep<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == KEPT {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// The kebab-case name of a reason.
fn reason_word(reason: Reason) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}

/// The kebab-case name that the event is serialised under.
fn kind(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    value
        .get("event")
        .and_then(|kind| kind.as_str())
        .unwrap_or("unknown")
        .to_owned()
}

fn describe(event: &Event, name: impl Fn(NodeId) -> String) -> String {
    match event {
        Event::Joined { elapsed, anchor } => {
            format!(
                "joined: {} answered after {}",
                name(*anchor),
                millis(*elapsed)
            )
        }
        Event::AnchorChanged {
            old: Some(old),
            new,
            number,
            reason,
            ..
        } => format!(
            "the anchor is now {}, before {} ({}, epoch {number})",
            name(*new),
            name(*old),
            reason_word(*reason)
        ),
        Event::AnchorChanged {
            old: None,
            new,
            number,
            reason,
            ..
        } => {
            format!(
                "the anchor is {} ({}, epoch {number})",
                name(*new),
                reason_word(*reason)
            )
        }
        Event::EpochTurned {
            number,
            key_id,
            fresh: false,
        } => format!("epoch {number} begins, key {key_id}"),
        Event::EpochTurned {
            number,
            key_id,
            fresh: true,
        } => format!("epoch {number} begins, key {key_id}, from a fresh secret"),
        Event::Promoted { chain, number } => {
            format!("promoted myself: chain {chain}, epoch {number}")
        }
        Event::SteppedBack { chain } => format!("took my promotion back: chain {chain} ends"),
        Event::PreemptionAnnounced { by, number } => {
            format!("{} takes over with epoch {number}", name(*by))
        }
        Event::PreemptionDropped { by } => {
            format!(
                "{} fell silent before it took over: the anchor goes on",
                name(*by)
            )
        }
        Event::Cheated { anchor } => format!(
            "{} announced two epochs under one number: skipped",
            name(*anchor)
        ),
        Event::PeerAdded { id, name } => format!("{name} ({id}) is a member"),
        Event::PeerGone { id, name } => format!("{name} ({id}) is no longer a member"),
        Event::AnchorSilent { .. } => "the anchor missed its pulse: probing it".into(),
        Event::FirstPulseOf {
            anchor,
            elapsed: Some(elapsed),
            ..
        } => format!(
            "first pulse of {}, {} after the last one before",
            name(*anchor),
            millis(*elapsed)
        ),
        Event::FirstPulseOf {
            anchor,
            elapsed: None,
            ..
        } => {
            format!("first pulse of {}", name(*anchor))
        }
        Event::ColdStart { elapsed } => {
            format!("nobody answered: started a mesh after {}", millis(*elapsed))
        }
        Event::Stateless { anchor } => format!("{} came back without its state", name(*anchor)),
        Event::AnchorLeft { anchor } => format!("{} said good-bye", name(*anchor)),
        Event::Merging { anchor } => {
            format!("{} leads a better-ranked mesh: handing over", name(*anchor))
        }
        Event::MergeAbandoned { anchor } => {
            format!(
                "{} did not answer: this node stays the anchor",
                name(*anchor)
            )
        }
        Event::RevocationsTaken {
            number,
            floor,
            revoked,
        } => {
            let out: Vec<String> = revoked.iter().map(|id| name(*id)).collect();
            let out = if out.is_empty() {
                "nobody".into()
            } else {
                out.join(", ")
            };
            format!("revocation list {number}: {out} out, grants below serial {floor} void")
        }
        Event::Expelled { number } => {
            format!("revocation list {number} expels this node: it says nothing more")
        }
        Event::Resumed {
            anchor,
            number,
            away,
            ..
        } => format!(
            "restarted within {}: {} is the anchor still, epoch {number}",
            millis(*away),
            name(*anchor)
        ),
        Event::SameIdentity { address } => format!(
            "this node's identity is also at {}",
            Ipv6Addr::from(*address)
        ),
        Event::Rejoining => "the epoch ended without a next one: joining again".into(),
    }
}

fn millis(elapsed: Duration) -> String {
    match elapsed.as_millis() {
        0..10 => format!("{:.1} ms", elapsed.as_secs_f64() * 1000.0),
        milliseconds => format!("{milliseconds} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus0_core::id::ChainId;

    fn change(chain: u8) -> Event {
        Event::AnchorChanged {
            old: Some(NodeId([1; 8])),
            new: NodeId([2; 8]),
            chain: ChainId([chain; 8]),
            number: 7,
            reason: Reason::SteppedBack,
        }
    }

    #[test]
    fn a_failover_is_measured_by_the_first_pulse_of_its_own_chain() {
        let mut journal = Journal::default();
        journal.call(NodeId([2; 8]), "n2");
        journal.record(Time(5), &change(1));
        journal.record(Time(6), &change(2));
        let elapsed = Some(Duration::from_millis(900));
        let pulse = Event::FirstPulseOf {
            anchor: NodeId([2; 8]),
            chain: ChainId([1; 8]),
            elapsed,
        };
        journal.record(Time(7), &pulse);
        let took: Vec<_> = journal.failovers.iter().map(|f| f.took_ms).collect();
        assert_eq!(took, [Some(900), None]);
        assert_eq!(journal.failovers[0].reason, "stepped-back");
        assert_eq!(journal.events[0].kind, "anchor-changed");
        assert!(
            journal.events[0].text.contains("now n2, before 0101"),
            "{:?}",
            journal.events
        );
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut journal = Journal::default();
        for at in 0..100 {
            journal.record(Time(at), &Event::Rejoining);
        }
        assert_eq!(journal.events.len(), KEPT);
        assert_eq!(journal.events[0].at_ns, 84);
    }
}
