//! The attacker: a thread in its own namespace on its own processor that listens, forges and floods,
//! kind after kind, and closes the books whenever the link is quiet between two kinds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nexus0_core::grant::{GrantRequest, Kind as NodeKind, MeshRoot};
use nexus0_core::id::MeshId;
use nexus0_core::identity::Identity;

use crate::flood::forge::{Signer, door_key};
use crate::flood::{Bounds, Capture, Cast, Forge, Generator, Kind, Rate};
use crate::lab::gauges::Books;
use crate::lab::interface;
use crate::lab::load::{Load, last_processor};
use crate::lab::process::pin_to;
use crate::lab::topology::{INTERFACE, Topology};

const VARIANTS: usize = 256;
const SLOT: Duration = Duration::from_millis(500);
const BETWEEN_BOOKINGS: Duration = Duration::from_secs(2);
/// A whole request costs every node a signature check; the door lets 2,000 a second in.
const KNOCKS_PER_SECOND: u64 = 200;

/// What the attacker is doing.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The kind on its way.
    pub kind: Option<Kind>,
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
    pub sent: Vec<Kind>,
    /// Why it ended early.
    pub failure: Option<String>,
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
                        progress.failure = Some(format!("{error:#}"))
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
        let mut booked = Instant::now();
        let mut cast = Cast::Multicast;
        let mut idle_since: Option<Instant> = None;
        for kind in self.kinds.iter().copied().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let forge =
                Forge::new(station.mac, capture.captured()).knowing(door, signer(self.mesh));
            let frames = forge.frames(kind, VARIANTS)?;
            if frames.is_empty() {
                // Nothing heard yet that this kind could be made from.
                let since = *idle_since.get_or_insert_with(Instant::now);
                if since.elapsed() > Duration::from_millis(1) {
                    thread::sleep(Duration::from_millis(1));
                }
                continue;
            }
            idle_since = None;
            if kind.cast() != cast || booked.elapsed() > BETWEEN_BOOKINGS {
                self.book(cast)?;
                booked = Instant::now();
                cast = kind.cast();
            }
            update(progress, |progress| progress.kind = Some(kind));
            let bounds = Bounds {
                frames: u64::MAX,
                duration: SLOT,
            };
            let report = generator.run(&frames, self.rate_of(kind), bounds, &self.stop)?;
            let busy = Load::read(core)?.share_since(load);
            update(progress, |progress| {
                progress.offered += report.offered;
                progress.rate = report.offered as f64 / report.seconds.max(1e-3);
                progress.busy = busy;
                progress.seconds = start.elapsed().as_secs_f64();
                if !progress.sent.contains(&kind) {
                    progress.sent.push(kind);
                }
            });
        }
        self.book(cast)
    }

    fn rate_of(&self, kind: Kind) -> Rate {
        match (kind, self.rate) {
            (Kind::SelfGranted, Rate::Max) => Rate::PerSecond(KNOCKS_PER_SECOND),
            (Kind::SelfGranted, Rate::PerSecond(rate)) => {
                Rate::PerSecond(rate.min(KNOCKS_PER_SECOND))
            }
            (_, rate) => rate,
        }
    }

    fn book(&self, cast: Cast) -> Result<()> {
        self.books
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .close(cast)
            .map(drop)
    }
}

fn update(progress: &Mutex<Progress>, change: impl FnOnce(&mut Progress)) {
    change(&mut progress.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Fills a request with an identity of its own making and a grant from a root of its own making, and
/// signs it as the protocol wants.
fn signer(mesh: MeshId) -> Signer {
    Box::new(move |frame, source, destination| {
        let seed = |byte: usize| {
            let mut seed = [0x5a; 32];
            seed[..8].copy_from_slice(&frame[16..24]);
            seed[31] = byte as u8;
            seed
        };
        let identity = Identity::from_seeds(&seed(1), &seed(2));
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
        frame[24 + 48..24 + 80].copy_from_slice(&identity.agreement_key());
        frame[24 + 80..24 + 214].copy_from_slice(grant.bytes());
        frame[24 + 214..24 + 217].copy_from_slice(&[0, 1, 1]);
        frame[24 + 217..signed].fill(0);
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
