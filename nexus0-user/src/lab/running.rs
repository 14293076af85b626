//! A lab at work: the link, the mesh, its nodes, and everything seen of them so far.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::api::types::{AnchorReport, Failover, Request, Role};
use crate::dataplane;
use crate::lab::gauges::{Books, Gauges};
use crate::lab::ledger::{Entry, Ledger, Life, Line};
use crate::lab::mesh::Mesh;
use crate::lab::node::{Node, Sight};
use crate::lab::options::Options;
use crate::lab::record::{Record, clear_stale};
use crate::lab::topology::{INTERFACE, Topology};

/// Events that a line for every pair of nodes would be too much for.
const ROUTINE: [&str; 3] = ["peer-added", "peer-gone", "first-pulse-of"];
/// Changes of anchor in which everybody stays known to everybody.
const BY_PROMOTION: [&str; 4] = ["silence", "bye", "stateless", "outranked"];
const POLL: Duration = Duration::from_millis(100);
/// For one node's filter to be loaded, all nodes loading at once.
const LOADING: Duration = Duration::from_secs(2);

/// A lab at work. Dropped, it leaves nothing behind.
pub struct Lab {
    /// What it was asked for.
    pub options: Options,
    /// Who may be in the mesh.
    pub mesh: Mesh,
    /// Node 1 first.
    pub nodes: Vec<Node>,
    /// What each node said last.
    pub sights: Vec<Option<Sight>>,
    /// What was seen over time.
    pub seen: Seen,
    /// The link.
    pub topology: Arc<Topology>,
    /// Where every frame went.
    pub books: Arc<Mutex<Books>>,
    // Last, so that processes and handles are gone when it takes away what was made.
    record: Record,
}

/// What was seen over time.
#[derive(Debug, Default)]
pub struct Seen {
    /// Frames by pair of nodes.
    pub ledger: Ledger,
    /// Milliseconds of each join after the mesh stood.
    pub joins: Vec<f64>,
    /// Milliseconds of the cold start.
    pub cold_starts: Vec<u64>,
    /// Changes of anchor by silence, as each follower saw them.
    pub failovers: Vec<Failover>,
    /// Numbers reached within a chain.
    pub turns: BTreeSet<(String, u64)>,
    /// Members the lab gave no grant.
    pub strangers: BTreeSet<String>,
    /// Events of all nodes in the order of their time: when, who, what.
    pub events: BTreeSet<(u64, String, String)>,
    queue_lost: i64,
    measured: BTreeSet<(usize, u32)>,
    /// When the mesh first stood, in nanoseconds of the boot clock.
    stands: Option<u64>,
}

impl Lab {
    /// Clears what dead labs left, builds everything, starts all nodes and waits until they agree on
    /// one anchor.
    pub fn start(options: Options, say: &mut dyn FnMut(String)) -> Result<Self> {
        options.check()?;
        for id in clear_stale()? {
            say(format!("cleared what lab {id} left behind"));
        }
        let mut lab = Self::build(options)?;
        say(format!(
            "lab {}: {} nodes and an attacker on one link",
            lab.id(),
            lab.nodes.len()
        ));
        if let Some(name) = &lab.mesh.open {
            say(format!("mesh {name} is OPEN: who knows this name can join"));
        }
        lab.topology.wait_for_addresses(Duration::from_secs(10))?;
        let patience = Duration::from_secs(10) + 6 * lab.options.pulse;
        for index in 0..lab.nodes.len() {
            lab.start_node(index)?;
        }
        lab.wait_for_filters(LOADING * lab.nodes.len() as u32)?;
        lab.wait_until(patience, "all nodes to agree on one anchor", |lab| {
            lab.agreed().is_some()
        })?;
        lab.seen.stands = Some(crate::daemon::now());
        lab.open_books()?;
        Ok(lab)
    }

    fn build(options: Options) -> Result<Self> {
        let mut record = Record::open()?;
        let late = options.late();
        let name = format!("lab-{}", record.id());
        let mut topology = Topology::build(&mut record, options.nodes + late, late)?;
        if options.sifts() {
            topology.sift(options.loss)?;
        }
        let topology = Arc::new(topology);
        let mesh = Mesh::create(record.folder(), &name, &options)?;
        let mut nodes = mesh
            .nodes
            .iter()
            .map(|admitted| Node::new(&mut record, admitted.clone()))
            .collect::<Result<Vec<Node>>>()?;
        nodes[options.nodes..]
            .iter_mut()
            .for_each(|node| node.set_late(true));
        let gauges = Gauges::new(Arc::clone(&topology), Vec::new());
        let books = Arc::new(Mutex::new(Books::open(Arc::new(gauges))?));
        let sights = vec![None; nodes.len()];
        let seen = Seen::default();
        Ok(Self {
            options,
            mesh,
            nodes,
            sights,
            seen,
            topology,
            books,
            record,
        })
    }

    fn open_books(&mut self) -> Result<()> {
        let counts = self.nodes.iter().map(Node::counts).collect::<Result<_>>()?;
        let gauges = Gauges::new(Arc::clone(&self.topology), counts);
        *self.books() = Books::open(Arc::new(gauges))?;
        Ok(())
    }

    /// Its id: four hexadecimal digits.
    pub fn id(&self) -> &str {
        self.record.id()
    }

    /// The books, for a moment.
    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a node that does not run.
    pub fn start_node(&mut self, index: usize) -> Result<()> {
        let netns = &self.topology.nodes[index].netns;
        self.nodes[index].start(&mut self.record, netns, &self.options)
    }

    /// Kills a node's controller; the filter stays.
    pub fn kill_node(&mut self, index: usize) {
        self.nodes[index].kill();
        self.sights[index] = None;
    }

    /// The program on a node's interface, as the kernel tells.
    pub fn attached(&self, index: usize) -> Result<Option<dataplane::Attached>> {
        self.topology.nodes[index]
            .netns
            .within(|| dataplane::attached(INTERFACE))
    }

    /// Waits until every node has a filter.
    fn wait_for_filters(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        for index in 0..self.nodes.len() {
            while self.nodes[index].counts().is_err() {
                self.nodes[index].check()?;
                let name = &self.nodes[index].admitted.name;
                ensure!(Instant::now() < deadline, "{name} does not load its filter");
                thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }

    /// Asks all nodes that take part and remembers what matters.
    pub fn poll(&mut self) -> Result<()> {
        for index in 0..self.nodes.len() {
            self.nodes[index].check()?;
            if !self.nodes[index].is_up() {
                continue;
            }
            let Some(sight) = self.nodes[index].look() else {
                continue;
            };
            let life = self.nodes[index].life();
            self.seen.take(index, &life, &sight, &self.mesh);
            self.sights[index] = Some(sight);
        }
        Ok(())
    }

    /// Polls until something holds.
    pub fn wait_until(
        &mut self,
        patience: Duration,
        what: &str,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<Duration> {
        let start = Instant::now();
        loop {
            self.poll()?;
            if holds(self) {
                return Ok(start.elapsed());
            }
            if start.elapsed() > patience {
                bail!("waited {patience:?} for {what} in vain\n{}", self.picture());
            }
            thread::sleep(POLL);
        }
    }

    /// The index of the anchor that all running nodes follow, each a member of the same whole roster.
    pub fn agreed(&self) -> Option<usize> {
        self.agreed_among(|_| true)
    }

    /// The same among some of them.
    pub fn agreed_among(&self, belongs: impl Fn(usize) -> bool) -> Option<usize> {
        let mut anchors = BTreeSet::new();
        let taking_part = |index: usize| self.nodes[index].is_up() && belongs(index);
        let all = (0..self.nodes.len()).filter(|index| taking_part(*index));
        let count = all.clone().count();
        for index in all {
            let sight = &self.sights[index];
            let status = &sight.as_ref()?.status;
            if !matches!(status.role, Some(Role::Member | Role::Anchor)) {
                return None;
            }
            if status.roster < count {
                return None;
            }
            anchors.insert((status.anchor.as_ref()?.id.clone(), status.chain.clone()));
        }
        let (anchor, _) = anchors.pop_first().filter(|_| anchors.is_empty())?;
        self.nodes
            .iter()
            .position(|node| node.admitted.id == anchor)
    }

    /// The anchors that running nodes follow now, each once.
    pub fn anchors(&self) -> BTreeSet<String> {
        self.sights
            .iter()
            .flatten()
            .filter_map(|sight| Some(sight.status.anchor.as_ref()?.id.clone()))
            .collect()
    }

    /// Why the anchor is the anchor, in its own words or a follower's.
    pub fn why(&self) -> String {
        let asked = self.agreed().into_iter().chain(0..self.nodes.len());
        asked
            .filter_map(|index| self.nodes[index].ask::<AnchorReport>(&Request::Anchor).ok())
            .map(|report| report.why)
            .find(|why| !why.is_empty())
            .unwrap_or_default()
    }

    /// The modes the running nodes' filters are in, each once.
    pub fn modes(&self) -> BTreeSet<&str> {
        self.sights
            .iter()
            .flatten()
            .map(|sight| sight.status.filter.mode.as_str())
            .collect()
    }

    /// The ways of accepted frames into the nodes.
    pub fn paths(&self) -> BTreeSet<&str> {
        let sights = self.sights.iter().flatten();
        sights
            .map(|sight| sight.status.receive.path.as_str())
            .collect()
    }

    /// What the nodes counted under a name, all together.
    pub fn node_counter(&self, name: &str) -> u64 {
        let count = |sight: &Sight| sight.status.node_counters.get(name).copied();
        self.sights.iter().flatten().filter_map(count).sum()
    }

    /// Leaves out of the comparison of pairs what is current now, if a queue lost frames lately.
    pub fn excuse_queue_losses(&mut self) {
        let lost = self.books().account().queue_lost;
        if lost == self.seen.queue_lost {
            return;
        }
        self.seen.queue_lost = lost;
        for sight in self.sights.iter().flatten() {
            for line in &sight.epochs.epochs {
                self.seen.ledger.excuse(&line.key_id);
            }
        }
    }

    /// The index of a node by its id.
    pub fn index_of(&self, id: &str) -> Result<usize> {
        let found = self.nodes.iter().position(|node| node.admitted.id == id);
        found.with_context(|| format!("{id} is no node of this lab"))
    }

    /// Everyone's view in a few lines, for errors.
    pub fn picture(&self) -> String {
        let open = self.mesh.open.as_ref();
        let mut lines: Vec<String> = open
            .map(|name| format!("  mesh {name} is OPEN"))
            .into_iter()
            .collect();
        for (node, sight) in self.nodes.iter().zip(&self.sights) {
            let name = &node.admitted.name;
            let Some(sight) = sight else {
                let log = node.last_words();
                lines.push(format!("  {name}: does not answer; its log ends: {log}"));
                continue;
            };
            let status = &sight.status;
            let anchor = status
                .anchor
                .as_ref()
                .map_or("nobody", |anchor| &anchor.name);
            lines.push(format!(
                "  {name}: {:?}, follows {anchor}, roster {}, number {:?}, chain {:?}, warnings {:?}",
                status.role, status.roster, status.number, status.chain, status.warnings
            ));
        }
        lines.join("\n")
    }

    /// Ends all nodes at once.
    pub fn stop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }
}

impl Seen {
    fn take(&mut self, index: usize, life: &Life, sight: &Sight, mesh: &Mesh) {
        let status = &sight.status;
        for line in &status.ledger {
            let accepted = line.accepted.clone();
            let words = Line {
                number: line.number,
                sent: line.sent,
                accepted,
            };
            self.ledger.tell(life, &line.key_id, words);
        }
        if let Some(chain) = &sight.epochs.chain {
            for line in sight
                .epochs
                .epochs
                .iter()
                .filter(|line| line.state == "current")
            {
                self.ledger.chain(&line.key_id, chain);
                self.turns.insert((chain.clone(), line.number));
            }
        }
        let stood = self.stands.unwrap_or(u64::MAX);
        for change in status.failovers.iter().filter(|c| c.at_ns > stood) {
            let entry = Entry {
                number: change.number,
                joined: !BY_PROMOTION.contains(&change.reason.as_str()),
            };
            self.ledger.enter(life, &change.chain, entry);
        }
        self.measure(index, life.restarts, sight);
        for failover in &status.failovers {
            if !self.failovers.contains(failover) {
                self.failovers.retain(|old| {
                    (old.at_ns, &old.to) != (failover.at_ns, &failover.to) || old.took_ms.is_some()
                });
                self.failovers.push(failover.clone());
            }
        }
        for event in status
            .events
            .iter()
            .filter(|event| !ROUTINE.contains(&event.kind.as_str()))
        {
            let who = mesh.name(&status.node.id).to_owned();
            self.events
                .insert((event.at_ns, who, mesh.with_names(&event.text)));
        }
        let known = status.anchor.iter().map(|anchor| &anchor.id);
        let known = known.chain(status.ledger.iter().flat_map(|line| line.accepted.keys()));
        self.strangers
            .extend(known.filter(|id| !mesh.admitted(id)).cloned());
    }

    fn measure(&mut self, index: usize, restarts: u32, sight: &Sight) {
        if self.measured.contains(&(index, restarts)) {
            return;
        }
        let status = &sight.status;
        match (status.cold_start_ms, status.join_ms) {
            (Some(cold_start), _) => self.cold_starts.push(cold_start),
            (None, Some(join)) if self.stands.is_some() => self.joins.push(join),
            (None, Some(_)) => {}
            (None, None) => return,
        }
        self.measured.insert((index, restarts));
    }

    /// Whether this run of a node's process has joined.
    pub fn joined(&self, index: usize, restarts: u32) -> bool {
        self.measured.contains(&(index, restarts))
    }
}
