//! All counters of the link, read in a quiet moment.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::flood::Cast;
use crate::lab::account::{Account, Interface, NodeSnapshot, Snapshot};
use crate::lab::counts::Counts;
use crate::lab::interface;
use crate::lab::sieve::Sifted;
use crate::lab::topology::{BRIDGE, INTERFACE, Station, Topology};

/// Between two readings that must agree: longer than a frame takes across the bridge.
const STILLNESS: Duration = Duration::from_millis(3);
const PATIENCE: Duration = Duration::from_secs(3);

/// Access to every counter.
pub struct Gauges {
    topology: Arc<Topology>,
    counts: Vec<Counts>,
}

/// The account and the snapshot it goes up to.
pub struct Books {
    gauges: Arc<Gauges>,
    account: Account,
    last: Snapshot,
    restless: u64,
}

impl Gauges {
    /// For a link whose nodes' filters have these counters.
    pub fn new(topology: Arc<Topology>, counts: Vec<Counts>) -> Self {
        Self { topology, counts }
    }

    /// One reading of everything.
    pub fn read(&self) -> Result<Snapshot> {
        let ports = self.topology.bridge.within(interface::counters)??;
        let port = |name: &str| -> Result<Interface> {
            let found = ports.iter().find(|(other, _)| other == name);
            Ok(found
                .with_context(|| format!("the bridge has no interface {name}"))?
                .1)
        };
        let stations = self.topology.nodes.iter().zip(&self.counts);
        let nodes = stations
            .map(|(station, counts)| read_node(station, port(&station.port)?, counts))
            .collect::<Result<_>>()?;
        let attacker = &self.topology.attacker;
        Ok(Snapshot {
            attacker: attacker
                .netns
                .within(|| interface::counters_of(INTERFACE))??,
            attacker_port: port(&attacker.port)?,
            bridge: port(BRIDGE)?,
            sifted: match &self.topology.sieve {
                Some(sieve) => sieve.read()?,
                None => Sifted::default(),
            },
            nodes,
        })
    }

    /// A reading that did not change for a moment, so that no frame is on its way; and whether that
    /// moment came.
    pub fn read_still(&self) -> Result<(Snapshot, bool)> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.read()?;
        loop {
            thread::sleep(STILLNESS);
            let after = self.read()?;
            if after == before {
                return Ok((after, true));
            }
            if Instant::now() > deadline {
                return Ok((after, false));
            }
            before = after;
        }
    }
}

fn read_node(station: &Station, port: Interface, counts: &Counts) -> Result<NodeSnapshot> {
    Ok(NodeSnapshot {
        sent: station.tally.read()?,
        port,
        interface: station
            .netns
            .within(|| interface::counters_of(INTERFACE))??,
        judged: counts.frames()?,
    })
}

impl Books {
    /// Opens the books now; what happened before does not count.
    pub fn open(gauges: Arc<Gauges>) -> Result<Self> {
        let (last, still) = gauges.read_still()?;
        Ok(Self {
            gauges,
            account: Account::default(),
            last,
            restless: u64::from(!still),
        })
    }

    /// Adds everything since the last time; the attacker sent frames of this cast only.
    pub fn close(&mut self, cast: Cast) -> Result<&Account> {
        let (now, still) = self.gauges.read_still()?;
        self.account.add(cast, &self.last, &now);
        self.last = now;
        self.restless += u64::from(!still);
        Ok(&self.account)
    }

    /// The balance so far.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The counters as of the last time.
    pub fn last(&self) -> &Snapshot {
        &self.last
    }

    /// Readings for which no quiet moment came.
    pub fn restless(&self) -> u64 {
        self.restless
    }
}
