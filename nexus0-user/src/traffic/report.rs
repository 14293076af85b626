//! What was measured, as data.

use serde::Serialize;

use super::minutes::Measured;
use super::peers::{PEERS, Peer, SOURCE};
use super::segment::Account;
use super::{jury, mesh, raft, swim};

/// A system that was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum System {
    Nexus0,
    Jury,
    Raft,
    Swim,
}

impl System {
    pub(super) const ALL: [Self; 4] = [Self::Nexus0, Self::Jury, Self::Raft, Self::Swim];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nexus0 => "NEXUS-0",
            Self::Jury => "jury",
            Self::Raft => "Raft",
            Self::Swim => "SWIM",
        }
    }

    /// Its timers and what protects its messages.
    pub(super) fn conditions(self) -> &'static str {
        match self {
            Self::Nexus0 => {
                "default timers: pulse 5 s, epoch 60 s, failover 15-17 s; every frame authenticated, \
                 beacons and one turn of the epoch inside"
            }
            Self::Jury => {
                "ours: a pulse in 5 s, one three-phase decision (PBFT) a minute, signed and tagged, \
                 one message to each; failover and join: one decision more"
            }
            Self::Raft => {
                "crate noraft: heartbeat 5 s, election after 15-17 s, integers at full width, \
                 UDP; neither authenticated nor encrypted, follows no members' health"
            }
            Self::Swim => {
                "crate foca: probe 5 s, suspect to down 10 s, 3 indirect probes, its postcard \
                 encoding, UDP; neither authenticated nor encrypted, elects nobody"
            }
        }
    }

    fn measure(self, nodes: usize) -> anyhow::Result<Measured> {
        match self {
            Self::Nexus0 => mesh::measure(nodes),
            Self::Jury => jury::measure(nodes),
            Self::Raft => raft::measure(nodes),
            Self::Swim => swim::measure(nodes),
        }
    }
}

/// What happened in the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    /// Nothing.
    Idle,
    /// The leader was lost.
    Failover,
    /// A newcomer came.
    Join,
    /// The frames of the epoch's turn alone, which every idle minute contains.
    Turn,
}

/// One minute of one system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(super) system: System,
    pub(super) nodes: usize,
    pub(super) case: Case,
    /// Frames of all nodes.
    pub(super) frames: u64,
    /// Bytes on the segment, with Ethernet, IPv6 and UDP headers.
    pub(super) bytes: u64,
    pub(super) frames_per_node: f64,
    pub(super) bytes_per_node: f64,
    /// By kind of frame.
    pub(super) kinds: Account,
}

/// What one hostile packet of a stranger makes all nodes send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hostile {
    pub(super) nodes: usize,
    /// Refused frames are answered by nothing.
    pub(super) nexus0: u64,
    /// A recorded request to join is answered by at most as many bytes as it has.
    pub(super) nexus0_recorded: u64,
    pub(super) jury: u64,
}

impl Hostile {
    fn measure(nodes: usize, idle: &Account) -> anyhow::Result<Self> {
        let strangers = mesh::strangers(nodes, idle)?;
        Ok(Self {
            nodes,
            nexus0: strangers.refused,
            nexus0_recorded: strangers.recorded,
            jury: jury::hostile(nodes)?.total().bytes,
        })
    }
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    pub(super) rows: Vec<Row>,
    pub(super) hostile: Vec<Hostile>,
    pub(super) peers: [Peer; 8],
    pub(super) peers_source: &'static str,
}

impl Report {
    /// Runs everything; `progress` hears of each size.
    pub(crate) fn measure(
        sizes: &[usize],
        mut progress: impl FnMut(usize),
    ) -> anyhow::Result<Self> {
        let (mut rows, mut hostile) = (Vec::new(), Vec::new());
        for nodes in sizes.iter().copied() {
            progress(nodes);
            for system in System::ALL {
                let measured = system.measure(nodes)?;
                if system == System::Nexus0 {
                    hostile.push(Hostile::measure(nodes, &measured.idle)?);
                }
                rows.extend(minutes(system, nodes, measured));
            }
        }
        Ok(Self {
            schema: "nexus0-traffic/1",
            rows,
            hostile,
            peers: PEERS,
            peers_source: SOURCE,
        })
    }

    pub(super) fn bytes(&self, system: System, nodes: usize, case: Case) -> Option<u64> {
        let mut rows = self.rows.iter();
        rows.find(|row| (row.system, row.nodes, row.case) == (system, nodes, case))
            .map(|row| row.bytes)
    }

    pub(super) fn sizes(&self) -> Vec<usize> {
        self.hostile.iter().map(|hostile| hostile.nodes).collect()
    }

    /// How much less than the jury the idle mesh sends, in percent.
    pub(super) fn saved(&self, nodes: usize) -> Option<f64> {
        let own = self.bytes(System::Nexus0, nodes, Case::Idle)? as f64;
        let jury = self.bytes(System::Jury, nodes, Case::Idle)? as f64;
        Some(100.0 * (1.0 - own / jury))
    }
}

fn minutes(system: System, nodes: usize, measured: Measured) -> Vec<Row> {
    let cases = [
        (Case::Idle, Some(measured.idle)),
        (Case::Failover, Some(measured.failover)),
        (Case::Join, Some(measured.join)),
        (Case::Turn, measured.turn),
    ];
    let row = |(case, account): (Case, Option<Account>)| {
        let kinds = account?;
        let total = kinds.total();
        Some(Row {
            system,
            nodes,
            case,
            frames: total.frames,
            bytes: total.bytes,
            frames_per_node: total.frames as f64 / nodes as f64,
            bytes_per_node: total.bytes as f64 / nodes as f64,
            kinds,
        })
    };
    cases.into_iter().filter_map(row).collect()
}
