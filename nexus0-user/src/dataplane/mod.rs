//! The filter of one interface: loaded, attached, pinned, told what the node decided, and read.

mod attach;
mod error;
mod events;
mod interface;
mod mapped;
mod maps;
mod pins;
pub mod program;
mod queue;
mod roster;

use std::path::{Path, PathBuf};

use aya::maps::{MapData, XskMap};
use nexus0_common::maps::{Config, Counter, QUEUES, flags};
use nexus0_common::reason::Verdict;
use nexus0_core::filter::{Filter, MapOp, Maps};
use nexus0_core::id::{KeyId, MeshId};
use nexus0_core::time::Time;

pub use attach::XdpMode;
pub use error::{AttachError, Occupant};
pub use events::{Events, Refusal};
pub use interface::{Attached, attached};
pub use maps::{KernelMaps, MapError};
pub use pins::{Detached, detach, pinned};
pub use program::{Program, Verifier};
pub use queue::{Delivery, Queue, QueueError};

use pins::Pins;

/// Where and how to put a filter.
#[derive(Clone, Debug)]
pub struct Options {
    /// Name of the interface in the current network namespace.
    pub interface: String,
    /// Folder for pins; a bpffs is mounted below it where there is none.
    pub run_dir: PathBuf,
    /// Native or generic; never changed silently.
    pub mode: XdpMode,
    /// Count, but pass everything.
    pub observe: bool,
    /// UDP port of the mesh.
    pub port: u16,
    /// Whose door it guards.
    pub mesh: MeshId,
    /// Boot-random key that spreads sources over the door's cells; a pinned filter keeps its own.
    pub cell_key: [u64; 2],
}

/// What `status` says about a filter.
#[derive(Clone, Debug)]
pub struct Status {
    /// The mode the kernel reports.
    pub mode: XdpMode,
    /// Kernel id of the program.
    pub program_id: u32,
    /// The program's tag, hexadecimal.
    pub tag: String,
    /// Whether maps and link of an earlier controller were taken over.
    pub adopted: bool,
    /// Whether the verifier inserted speculation barriers.
    pub verifier: Verifier,
    /// Folder of the pins.
    pub pins: PathBuf,
}

/// A filter at work. Dropping it leaves the filter attached: it fails closed.
pub struct Dataplane {
    filter: Filter<KernelMaps>,
    events: Option<Events>,
    sockets: XskMap<MapData>,
    interface: String,
    index: u32,
    status: Status,
}

impl Dataplane {
    /// Loads the program over fresh or pinned maps and puts it on the interface: in one atomic step in
    /// place of an earlier one of ours, so that no moment is without a filter. A failure leaves what was
    /// there before, and nothing where nothing was.
    pub fn open(options: &Options, now: Time) -> Result<Self, AttachError> {
        let index = interface::index(&options.interface)?;
        let pins = Pins::open(&options.run_dir, &options.interface)?;
        let fresh = !pins.link().exists();
        let opened = Self::open_over(options, index, &pins, now);
        if opened.is_err() && fresh {
            // The first error says more than one of the clean-up would.
            let _ = detach(&options.run_dir, &options.interface);
        }
        opened
    }

    fn open_over(
        options: &Options,
        index: u32,
        pins: &Pins,
        now: Time,
    ) -> Result<Self, AttachError> {
        let adopted = pins.complete();
        let mut program = Program::load(Some(pins.folder()))?;
        #[cfg(feature = "aya-log")]
        program.follow_log()?;
        let kernel_maps = program.maps()?;
        let events = program.events()?;
        let sockets = program.sockets()?;
        let mut config = Config::new(options.port, options.cell_key);
        if options.observe {
            config.flags |= flags::OBSERVE;
        }
        let filter = Filter::adopt(kernel_maps, options.mesh, config, now)?;
        interface::keep_vlan_tags(&options.interface)?;
        attach::attach(
            program.filter_mut()?,
            &options.interface,
            index,
            options.mode,
            pins,
        )?;
        let info = program.info()?;
        let status = Status {
            mode: attach::confirm(&options.interface, options.mode)?,
            program_id: info.id(),
            tag: format!("{:016x}", info.tag()),
            adopted,
            verifier: program.verifier(),
            pins: pins.folder().to_owned(),
        };
        Ok(Self {
            filter,
            events: Some(events),
            sockets,
            interface: options.interface.clone(),
            index,
            status,
        })
    }

    /// Opens an AF_XDP socket on each receive queue and has the filter hand what it accepts to them. While
    /// and where there is none, also after a failure, it goes through the stack.
    pub fn open_queues(&mut self) -> Result<Vec<Queue>, QueueError> {
        let count = interface::receive_queues(&self.interface);
        if count as usize > QUEUES {
            let most = QUEUES;
            return Err(QueueError::Many { count, most });
        }
        let zero_copy = self.status.mode == XdpMode::Native;
        let open = |number| Queue::open(self.index, number, zero_copy);
        let queues: Vec<Queue> = (0..count).map(open).collect::<Result<_, _>>()?;
        for (number, queue) in (0..).zip(&queues) {
            let placed = self.sockets.set(number, queue.raw_fd(), 0);
            placed.map_err(MapError::from)?;
        }
        self.filter.redirect(true)?;
        Ok(queues)
    }

    /// Carries out one change.
    pub fn apply(&mut self, op: &MapOp, now: Time) -> Result<(), MapError> {
        self.filter.apply(op, now)
    }

    /// Says that the controller lives.
    pub fn heartbeat(&mut self, now: Time) -> Result<(), MapError> {
        self.filter.heartbeat(now)
    }

    /// Frames and bytes by verdict, of all processors, in the order of [`Verdict::ALL`].
    pub fn counters(&self) -> Result<Vec<(Verdict, Counter)>, MapError> {
        self.filter.maps().counters()
    }

    /// Bytes refused at the door because of a rate, ever.
    pub fn refused_at_door(&self) -> Result<u64, MapError> {
        let mut bytes = 0;
        for verdict in Verdict::ALL.iter().filter(|v| v.crowds_the_door()) {
            bytes += self.filter.maps().counter(*verdict as u32)?.bytes;
        }
        Ok(bytes)
    }

    /// Sampled refusals; to be taken once.
    pub fn take_events(&mut self) -> Option<Events> {
        self.events.take()
    }

    /// For each verdict, an event for one frame in `2^shift`; 255 for none.
    pub fn sample(&mut self, verdict: Verdict, shift: u8) -> Result<(), MapError> {
        let maps = self.filter.maps_mut();
        let mut config = maps.config()?;
        if let Some(entry) = config.sample_shift.get_mut(verdict as usize) {
            *entry = shift;
        }
        maps.write_config(&config)
    }

    /// What `status` says.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Keys that lost their windows before their time was over.
    pub fn worn(&self) -> impl Iterator<Item = KeyId> {
        self.filter.worn()
    }

    /// The maps, to judge a frame against.
    pub fn maps(&self) -> &KernelMaps {
        self.filter.maps()
    }
}

/// Folder of the pins of an interface under a run folder.
pub fn pin_folder(run_dir: &Path, interface: &str) -> PathBuf {
    pins::folder(run_dir, interface)
}
