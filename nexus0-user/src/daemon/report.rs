//! What the node shows over the control socket, put together from the core's view, the filter's
//! counters and the journal.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use nexus0_common::maps::Counter;
use nexus0_common::reason::Verdict;
use nexus0_core::grant::Grant;
use nexus0_core::id::{MeshId, NodeId};
use nexus0_core::node::Role as CoreRole;
use nexus0_core::time::Time;
use nexus0_core::view::{LedgerView, PeerState, PeerView, Ranked as CoreRanked, View};
use serde::Serialize;

use super::Options;
use super::address::LinkLocal;
use super::journal::Journal;
use super::node_loop::Memory;
use super::twin;
use crate::api::run_dir_flag;
use crate::api::types::{
    AnchorReport, DropLine, Drops, EpochLine, Epochs, FilterStatus, LedgerLine, Member, Peer,
    Peers, Preemption, Ranked, ReceiveStatus, RevocationsReport, RevokedNode, Role, SCHEMA, Status,
    VerdictCount,
};
use crate::dataplane;
use crate::hex;

/// What never changes while a node runs.
pub(super) struct Identification {
    pub(super) interface: String,
    pub(super) index: u32,
    pub(super) run_dir: PathBuf,
    pub(super) member: Member,
    pub(super) mesh_id: String,
    pub(super) observe: bool,
    pub(super) started: u64,
    pub(super) id: NodeId,
    /// The name of an open mesh.
    pub(super) open: Option<String>,
}

impl Identification {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            interface: options.interface.clone(),
            index: 0,
            run_dir: options.run_dir.clone(),
            member: own_member(&options.grant),
            mesh_id: MeshId::of(&options.root).to_string(),
            observe: options.observe,
            started: super::now(),
            id: options.grant.node_id(),
            open: options.open.clone(),
        }
    }

    /// The command that removes the filter.
    pub(super) fn undo(&self) -> String {
        format!(
            "nexus0 detach --iface {}{}",
            self.interface,
            run_dir_flag(&self.run_dir)
        )
    }

    /// The member with this id, as far as it is known.
    fn member_of(&self, view: &View, id: NodeId) -> Member {
        if id == self.id {
            return self.member.clone();
        }
        let known = view.peers.iter().find(|peer| peer.id == id).map(member);
        known.unwrap_or_else(|| Member {
            id: id.to_string(),
            ..Member::default()
        })
    }
}

/// Everything `status` is made from.
pub(super) struct Sources<'a> {
    pub(super) who: &'a Identification,
    pub(super) view: &'a View,
    pub(super) filter: &'a dataplane::Status,
    pub(super) counters: &'a [(Verdict, Counter)],
    pub(super) node_counters: BTreeMap<String, u64>,
    pub(super) journal: &'a Journal,
    pub(super) address: LinkLocal,
    pub(super) unkept: Option<&'a str>,
    pub(super) receive: ReceiveStatus,
}

/// Answers `status`.
pub(super) fn status(sources: Sources<'_>) -> Status {
    let Sources {
        who,
        view,
        filter,
        counters,
        mut node_counters,
        journal,
        address,
        unkept,
        receive,
    } = sources;
    node_counters.extend(core_counters(view));
    let milliseconds = |duration: std::time::Duration| duration.as_millis() as u64;
    Status {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        now_ns: view.now.0,
        uptime_ms: view.now.0.saturating_sub(who.started) / 1_000_000,
        warnings: warnings(who, view, address, unkept),
        node: who.member.clone(),
        mesh_id: who.mesh_id.clone(),
        open: who.open.clone(),
        revocation: view.revocations.number,
        revoked: view.revocations.revoked.len(),
        interface: who.interface.clone(),
        address: match address {
            LinkLocal::Ready(address) => Some(Ipv6Addr::from(address).to_string()),
            LinkLocal::Checking(_) | LinkLocal::Duplicate(_) | LinkLocal::Missing => None,
        },
        role: Some(role(view.role)),
        anchor: view.anchor.map(|id| who.member_of(view, id)),
        chain: view.chain.map(|chain| chain.to_string()),
        number: view.chain.map(|_| view.number),
        turn_ns: view.turn.map(|turn| turn.0),
        roster: view.peers.len() + 1,
        roster_complete: view.complete,
        filter: filter_status(who, filter),
        receive,
        counters: counters
            .iter()
            .map(|(verdict, counter)| count(*verdict, counter))
            .collect(),
        node_counters,
        join_ms: journal.join.map(|join| join.as_micros() as f64 / 1000.0),
        cold_start_ms: journal.cold_start.map(milliseconds),
        failovers: journal.failovers.iter().cloned().collect(),
        events: journal.events.iter().cloned().collect(),
        ledger: view.ledger.iter().map(ledger_line).collect(),
    }
}

/// Whom the root should expel.
fn convicted(view: &View) -> Option<String> {
    let revoked = &view.revocations.revoked;
    let left = view.convicted.iter().filter(|id| !revoked.contains(id));
    let left: Vec<String> = left.map(ToString::to_string).collect();
    let shown = left
        .get(..left.len().min(3))
        .filter(|some| !some.is_empty())?;
    let more = match left.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "{}{more} announced two epochs under one number and is not followed; who joins may follow it: \
         expel it with `nexus0 mesh revoke` where the mesh root is",
        shown.join(", ")
    ))
}

fn warnings(
    who: &Identification,
    view: &View,
    address: LinkLocal,
    unkept: Option<&str>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(why) = unkept {
        warnings.push(format!(
            "revocation list {} is in force but lost at a restart: {why}",
            view.revocations.number
        ));
    }
    match view.role {
        CoreRole::Waiting => warnings.push(format!("no usable address: {}", address.describe())),
        CoreRole::Joining => warnings.push("no epoch key is held: looking for the mesh".into()),
        CoreRole::Left => warnings.push("leaving".into()),
        CoreRole::Revoked => warnings.push(format!(
            "the mesh root has revoked this node (list {}): it is silent and takes no part; \
             to come back it needs a new identity, or a later list without it, and a new grant",
            view.revocations.number
        )),
        CoreRole::Member | CoreRole::Anchor => {}
    }
    warnings.extend(twin::warning(view));
    warnings.extend(convicted(view));
    if who.observe {
        warnings.push("observing only: frames are counted, none is refused".into());
    }
    let anchor = view.peers.iter().find(|peer| Some(peer.id) == view.anchor);
    if view.role == CoreRole::Member && anchor.is_some_and(|a| a.state == PeerState::Silent) {
        warnings.push("the anchor has not been heard for two and a half pulses".into());
    }
    warnings
}

fn role(role: CoreRole) -> Role {
    match role {
        CoreRole::Waiting => Role::Waiting,
        CoreRole::Joining => Role::Joining,
        CoreRole::Member => Role::Member,
        CoreRole::Anchor => Role::Anchor,
        CoreRole::Left => Role::Left,
        CoreRole::Revoked => Role::Revoked,
    }
}

fn filter_status(who: &Identification, filter: &dataplane::Status) -> FilterStatus {
    FilterStatus {
        mode: filter.mode.to_string(),
        program_id: filter.program_id,
        tag: filter.tag.clone(),
        adopted: filter.adopted,
        verifier: filter.verifier.words().into(),
        pins: filter.pins.display().to_string(),
        observe: who.observe,
    }
}

fn core_counters(view: &View) -> BTreeMap<String, u64> {
    let value = serde_json::to_value(view.counters).unwrap_or_default();
    serde_json::from_value(value).unwrap_or_default()
}

fn count(verdict: Verdict, counter: &Counter) -> VerdictCount {
    VerdictCount {
        verdict: verdict.name().into(),
        frames: counter.frames,
        bytes: counter.bytes,
    }
}

fn ledger_line(line: &LedgerView) -> LedgerLine {
    LedgerLine {
        key_id: line.key_id.to_string(),
        number: line.number,
        sent: line.sent,
        accepted: line
            .accepted
            .iter()
            .map(|(id, frames)| (id.to_string(), *frames))
            .collect(),
    }
}

/// Answers `peers`.
pub(super) fn peers(who: &Identification, view: &View) -> Peers {
    let mine = view.why.ranking.iter().find(|ranked| ranked.id == who.id);
    let own = Peer {
        member: who.member.clone(),
        seniority: mine.map(|ranked| ranked.seniority),
        anchor: view.anchor == Some(who.id),
        state: word(&PeerState::Myself),
        heard_ms: None,
        address: None,
    };
    let mut peers: Vec<Peer> = view.peers.iter().map(|peer| other(peer, view)).collect();
    peers.push(own);
    peers.sort_by(|a, b| (a.seniority, &a.member.id).cmp(&(b.seniority, &b.member.id)));
    Peers {
        schema: SCHEMA,
        now_ns: view.now.0,
        open: who.open.clone(),
        peers,
    }
}

fn other(peer: &PeerView, view: &View) -> Peer {
    let since = |heard: Time| view.now.since(heard).as_millis() as u64;
    Peer {
        member: member(peer),
        seniority: Some(peer.seniority),
        anchor: view.anchor == Some(peer.id),
        state: word(&peer.state),
        heard_ms: peer.last_heard.map(since),
        address: peer
            .address
            .map(|address| Ipv6Addr::from(address).to_string()),
    }
}

fn member(peer: &PeerView) -> Member {
    Member {
        id: peer.id.to_string(),
        name: peer.name.clone(),
        kind: peer.kind.name().into(),
        zone: peer.zone.clone(),
        ego: peer.ego,
    }
}

fn own_member(grant: &Grant) -> Member {
    Member {
        id: grant.node_id().to_string(),
        name: grant.name().into(),
        kind: grant.kind().name().into(),
        zone: grant.zone().into(),
        ego: grant.ego(),
    }
}

/// Answers `anchor`.
pub(super) fn anchor(who: &Identification, view: &View) -> AnchorReport {
    AnchorReport {
        schema: SCHEMA,
        anchor: view.anchor.map(|id| who.member_of(view, id)),
        me: view.anchor == Some(who.id),
        open: who.open.clone(),
        chain: view.chain.map(|chain| chain.to_string()),
        parent: view.parent.map(|chain| chain.to_string()),
        number: view.chain.map(|_| view.number),
        why: view.why.sentence.clone(),
        preemption: view.preemption.map(|coming| Preemption {
            by: who.member_of(view, coming.by),
            in_ms: coming.at.since(view.now).as_millis() as u64,
            announced: coming.announced,
        }),
        ranking: view
            .why
            .ranking
            .iter()
            .map(|line| ranked(line, view))
            .collect(),
    }
}

fn ranked(line: &CoreRanked, view: &View) -> Ranked {
    Ranked {
        id: line.id.to_string(),
        name: line.name.clone(),
        ego: line.ego,
        seniority: line.seniority,
        id_hash: line.id_hash.to_string(),
        state: word(&line.state),
        anchor: view.anchor == Some(line.id),
    }
}

/// Answers `revocations` and `take`.
pub(super) fn revocations(who: &Identification, view: &View, memory: &Memory) -> RevocationsReport {
    let held = &view.revocations;
    let node = |id: &NodeId| RevokedNode {
        id: id.to_string(),
        name: memory.journal.called(*id).map(str::to_owned),
    };
    RevocationsReport {
        schema: SCHEMA,
        mesh_id: who.mesh_id.clone(),
        open: who.open.clone(),
        number: held.number,
        floor: held.floor,
        revoked: held.revoked.iter().map(node).collect(),
        kept: memory.unkept.is_none(),
        list: hex::encode(&held.list),
    }
}

/// Answers `epochs`.
pub(super) fn epochs(view: &View) -> Epochs {
    let mut epochs: Vec<EpochLine> = view
        .keys
        .iter()
        .map(|key| EpochLine {
            key_id: key.id.to_string(),
            number: key.number,
            state: word(&key.state),
            not_before_ns: key.not_before.0,
            not_after_ns: key.not_after.0,
        })
        .collect();
    epochs.sort_by_key(|epoch| epoch.not_before_ns);
    Epochs {
        schema: SCHEMA,
        now_ns: view.now.0,
        chain: view.chain.map(|chain| chain.to_string()),
        turn_ns: view.turn.map(|turn| turn.0),
        epochs,
    }
}

/// Answers `drops`.
pub(super) fn drops(counters: &[(Verdict, Counter)], last: Vec<DropLine>) -> Drops {
    let refused = counters
        .iter()
        .filter(|(verdict, c)| !verdict.passes() && c.frames > 0);
    let mut reasons: Vec<_> = refused
        .map(|(verdict, counter)| count(*verdict, counter))
        .collect();
    reasons.sort_by_key(|count| std::cmp::Reverse(count.frames));
    Drops {
        schema: SCHEMA,
        reasons,
        last,
    }
}

/// The one word that a unit variant is serialised as.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or("unknown").to_owned()
}
