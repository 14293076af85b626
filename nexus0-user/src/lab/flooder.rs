//! The attacker: a thread in its own namespace on its own processor that listens, forges and floods,
//! kind after kind, and closes the books whenever the link is quiet between two kinds.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nexus0_core::grant::{GrantRequest, Kind as NodeKind, MeshRoot};
use nexus0_core::id::MeshId;
use nexus0_core::identity::Identity;

use crate::flood::forge::{Signer, door_key};
use crate::flood::generator::{Lane, WORKERS, slots_in};
use crate::flood::{Capture, Cast, Forge, Generator, Kind, Rate};
use crate::lab::gauges::Books;
use crate::lab::interface;
use crate::lab::load::{Load, last_processor};
use crate::lab::process::pin_to;
use crate::lab::topology::{INTERFACE, Topology};

const VARIANTS: usize = 256;
const SLOT: Duration = Duration::from_millis(500);
/// Kinds between two closings of the books; each costs a moment of rest.
const ROUND: usize = 8;
const SLOW_WORKERS: usize = 4;
const TICK: Duration = Duration::from_millis(5);

/// What the attacker is doing.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The kinds that follow each other now, and since when.
    pub round: Option<(Vec<Kind>, Instant)>,
    /// Frames given to the interface so far.
    pub offered: u64,
    /// Frames a second in the last slot.
    pub rate: f64,
    /// Its processor.
    pub core: usize,
    /// The busy share of that processor since the start.
    pub busy: f64,
    /// Seconds spent flooding.
    pub seconds: f64,
    /// Kinds sent so far.
    pub sent: BTreeSet<Kind>,
    /// Why it ended early.
    pub failure: Option<String>,
}

impl Progress {
    /// The kind on its way.
    pub fn kind(&self) -> Option<Kind> {
        let (kinds, since) = self.round.as_ref()?;
        kinds
            .get(slots_in(since.elapsed(), SLOT))
            .or(kinds.last())
            .copied()
    }
}

/// The attacker's thread; dropped, it stops.
pub struct Flooder {
    stop: Arc<AtomicBool>,
    progress: Arc<Mutex<Progress>>,
    thread: Option<JoinHandle<()>>,
}

impl Flooder {
    /// Starts flooding the link of a mesh with these kinds in turn.
    pub fn start(
        topology: Arc<Topology>,
        books: Arc<Mutex<Books>>,
        mesh: MeshId,
        kinds: Vec<Kind>,
        rate: Rate,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(Mutex::new(Progress::default()));
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&progress));
        let thread = thread::Builder::new()
            .name("attacker".into())
            .spawn(move || {
                let attacker = Attacker {
                    topology,
                    books,
                    mesh,
                    kinds,
                    rate,
                    stop: stopped,
                };
                if let Err(error) = attacker.flood(&shared) {
                    update(&shared, |progress| {
                        progress.failure = Some(format!("{error:#}"));
                    });
                }
            })?;
        Ok(Self {
            stop,
            progress,
            thread: Some(thread),
        })
    }

    /// What it is doing.
    pub fn progress(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stops, closes the books and tells what it did.
    pub fn finish(mut self) -> Progress {
        self.halt();
        self.progress()
    }

    fn halt(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Flooder {
    fn drop(&mut self) {
        self.halt();
    }
}

struct Attacker {
    topology: Arc<Topology>,
    books: Arc<Mutex<Books>>,
    mesh: MeshId,
    kinds: Vec<Kind>,
    rate: Rate,
    stop: Arc<AtomicBool>,
}

impl Attacker {
    fn flood(&self, progress: &Mutex<Progress>) -> Result<()> {
        let station = &self.topology.attacker;
        station
            .netns
            .enter()
            .context("cannot enter the attacker's namespace")?;
        let capture = Capture::start(interface::index(INTERFACE)?)?;
        let core = last_processor();
        pin_to(core)?;
        let generator = Generator::new(INTERFACE)?;
        update(progress, |progress| progress.core = core);
        let (start, load) = (Instant::now(), Load::read(core)?);
        let door = door_key(self.mesh);
        let rounds = rounds(&self.kinds);
        for round in rounds.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let forge =
                Forge::new(station.mac, capture.captured()).knowing(door, signer(self.mesh));
            let (fast, slow) = (
                forge_all(&forge, &round.fast)?,
                forge_all(&forge, &round.slow)?,
            );
            let kinds: Vec<Kind> = fast.iter().chain(&slow).map(|(kind, _)| *kind).collect();
            if kinds.is_empty() {
                thread::sleep(TICK);
                continue;
            }
            update(progress, |progress| {
                progress.round = Some((kinds.clone(), Instant::now()));
            });
            let report = generator.run_lanes(&self.lanes(&fast, &slow), u64::MAX, &self.stop)?;
            self.book(round.cast)?;
            let busy = Load::read(core)?.share_since(load);
            update(progress, |progress| {
                progress.offered += report.offered;
                progress.rate = report.offered as f64 / report.seconds.max(1e-3);
                progress.busy = busy;
                progress.seconds = start.elapsed().as_secs_f64();
                progress.sent.extend(kinds);
            });
        }
        Ok(())
    }

    /// The fast kinds one after the other, a slow one beside them all the time.
    fn lanes<'a>(&self, fast: &'a [Forged], slow: &'a [Forged]) -> Vec<Lane<'a>> {
        let whole = SLOT * fast.len().max(1) as u32;
        let lane = |sets: &'a [Forged], slot, workers| {
            sets.first()?;
            let sets = sets.iter().map(|(_, frames)| frames.as_slice()).collect();
            Some(Lane {
                sets,
                slot,
                rate: self.rate,
                workers,
            })
        };
        let lanes = [lane(fast, SLOT, WORKERS), lane(slow, whole, SLOW_WORKERS)];
        lanes.into_iter().flatten().collect()
    }

    fn book(&self, cast: Cast) -> Result<()> {
        self.books
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .close(cast)
            .map(drop)
    }
}

/// A kind and its frames.
type Forged = (Kind, Vec<Vec<u8>>);

/// Kinds sent between two closings of the books, all travelling alike.
struct Round {
    cast: Cast,
    fast: Vec<Kind>,
    /// At most one that cannot keep the processor busy.
    slow: Vec<Kind>,
}

fn rounds(kinds: &[Kind]) -> Vec<Round> {
    let mut rounds = Vec::new();
    for cast in [Cast::Multicast, Cast::Unicast] {
        let is_slow = |kind: &Kind| *kind == Kind::SelfGranted;
        let alike = kinds.iter().copied().filter(|kind| kind.cast() == cast);
        let (slow, fast): (Vec<Kind>, Vec<Kind>) = alike.partition(is_slow);
        let count = slow.len().max(fast.len().div_ceil(ROUND));
        let mut fast = fast.chunks(ROUND);
        let mut slow = slow.chunks(1);
        rounds.extend((0..count).map(|_| Round {
            cast,
            fast: fast.next().unwrap_or_default().to_vec(),
            slow: slow.next().unwrap_or_default().to_vec(),
        }));
    }
    rounds
}

/// The frames of each kind that can be made from what was heard so far.
fn forge_all(forge: &Forge, kinds: &[Kind]) -> Result<Vec<Forged>> {
    let mut sets = Vec::new();
    for kind in kinds {
        let frames = forge.frames(*kind, VARIANTS)?;
        if !frames.is_empty() {
            sets.push((*kind, frames));
        }
    }
    Ok(sets)
}

fn update(progress: &Mutex<Progress>, change: impl FnOnce(&mut Progress)) {
    change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Fills a request with an identity of its own making and a grant from a root of its own making, and
/// signs it as the protocol wants.
pub fn signer(mesh: MeshId) -> Signer {
    Box::new(move |frame, source, destination| {
        let seed = |byte: usize| {
            let mut seed = [0x5a; 32];
            seed[..8].copy_from_slice(&frame[16..24]);
            seed[31] = byte as u8;
            seed
        };
        let identity = Identity::from_seed(&seed(1));
        let root = MeshRoot::from_seed(&seed(3));
        let Ok(grant) = root.issue(&GrantRequest {
            public_key: identity.public_key(),
            name: "intruder",
            zone: "lab",
            kind: NodeKind::Agent,
            ego: 100,
            serial: 1,
        }) else {
            return;
        };
        let signed = frame.len() - 64;
        frame[8..16].copy_from_slice(&identity.node_id().0);
        frame[24 + 52..24 + 186].copy_from_slice(grant.bytes());
        frame[24 + 186..24 + 189].copy_from_slice(&[0, 1, 1]);
        frame[24 + 189..signed].fill(0);
        let message = [
            b"nexus0 v1 frame".as_slice(),
            &mesh.0,
            &[0; 8],
            source,
            destination,
            &frame[..signed],
        ]
        .concat();
        let signature = identity.sign(&message);
        frame[signed..].copy_from_slice(&signature);
    })
}
