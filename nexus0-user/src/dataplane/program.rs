//! The object: loaded over pinned or fresh maps, with what the verifier made of it.

use std::path::Path;

use aya::maps::{Map, MapData, PerCpuArray, RingBuf, XskMap};
use aya::programs::{ProgramError, ProgramInfo, TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use nexus0_common::maps::{Config, Keys, MAX_PEERS, Peer, SCHEMA, SignedPeer};
use nix::libc;

use super::error::{AttachError, missing_capabilities};
use super::events::Events;
use super::mapped::Mapped;
use super::maps::{KernelMaps, MapError};
use super::roster::Roster;

/// The object that the build embedded.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("NEXUS0_BPF_OBJECT"));

/// Maps that outlive the controller. (SOCKETS does not: sockets leave it when they are closed.)
pub(super) const PINNED: [&str; 8] = [
    "CONFIG", "KEYS", "ROSTER", "WINDOWS", "SIGNED", "DOOR", "COUNTS", "EVENTS",
];

const FILTER: &str = "nexus0";

/// Whether the verifier trusted the loader with speculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verifier {
    /// Loaded with CAP_PERFMON: no barriers.
    Fast,
    /// Loaded without: a barrier after each stack spill, several times slower.
    Barriers,
}

impl Verifier {
    /// As status, metrics and doctor say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Barriers => "verifier barriers: slow",
        }
    }

    fn of_this_process() -> Self {
        use caps::{CapSet, Capability, has_cap};
        let has = |cap| has_cap(None, CapSet::Effective, cap).unwrap_or(false);
        if has(Capability::CAP_PERFMON) || has(Capability::CAP_SYS_ADMIN) {
            Self::Fast
        } else {
            Self::Barriers
        }
    }
}

/// A loaded object.
#[derive(Debug)]
pub struct Program {
    ebpf: Ebpf,
    verifier: Verifier,
}

impl Program {
    /// Loads the filter, its maps pinned in `pins` or private to this process.
    pub fn load(pins: Option<&Path>) -> Result<Self, AttachError> {
        let mut loader = EbpfLoader::new();
        let paths = pins.map(|folder| PINNED.map(|name| (name, folder.join(name))));
        for (name, path) in paths.into_iter().flatten() {
            loader.map_pin_path(name, path);
        }
        let ebpf = loader.load(OBJECT).map_err(explain)?;
        let mut program = Self {
            ebpf,
            verifier: Verifier::of_this_process(),
        };
        program
            .xdp(FILTER)?
            .load()
            .map_err(|error| explain(error.into()))?;
        Ok(program)
    }

    /// Loads another program of the object: `nexus0_transmit`, `nexus0_pass`, `nexus0_drop`,
    /// `nexus0_forget`, `nexus0_torn`, `nexus0_lost`.
    pub fn load_helper(&mut self, name: &str) -> Result<&mut Xdp, AttachError> {
        self.xdp(name)?
            .load()
            .map_err(|error| explain(error.into()))?;
        self.xdp(name)
    }

    /// A program of the object by name.
    pub fn xdp(&mut self, name: &str) -> Result<&mut Xdp, AttachError> {
        let program = self.ebpf.program_mut(name);
        let program =
            program.ok_or_else(|| AttachError::Load(format!("no program {name} in it")))?;
        program
            .try_into()
            .map_err(|error: ProgramError| AttachError::Load(error.to_string()))
    }

    pub(super) fn filter_mut(&mut self) -> Result<&mut Xdp, AttachError> {
        self.xdp(FILTER)
    }

    /// Hands the filter's log lines to this process's log, as long as the process lives.
    #[cfg(feature = "aya-log")]
    pub(super) fn follow_log(&mut self) -> Result<(), AttachError> {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
        let mut logger = aya_log::EbpfLogger::init(&mut self.ebpf)
            .map_err(|error| AttachError::Load(error.to_string()))?;
        std::thread::spawn(move || {
            loop {
                logger.flush();
                std::thread::sleep(PAUSE);
            }
        });
        Ok(())
    }

    /// What the kernel says about the filter.
    pub fn info(&mut self) -> Result<ProgramInfo, AttachError> {
        self.filter_mut()?
            .info()
            .map_err(|error| explain(error.into()))
    }

    /// Whether it runs with barriers.
    pub fn verifier(&self) -> Verifier {
        self.verifier
    }

    /// Runs a program over one frame `repeat` times (BPF_PROG_TEST_RUN): its answer and the mean
    /// nanoseconds of a run.
    pub fn test_run(
        &mut self,
        name: &str,
        frame: &[u8],
        repeat: u32,
    ) -> Result<(u32, u64), AttachError> {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::default()
        };
        let result = self.xdp(name)?.test_run(options);
        let result = result.map_err(|error| AttachError::Load(error.to_string()))?;
        Ok((result.return_value, result.duration.as_nanos() as u64))
    }

    /// The maps that the controller writes and reads. To be called once.
    pub fn maps(&mut self) -> Result<KernelMaps, AttachError> {
        let config: Mapped<Config> = Mapped::new(&self.take("CONFIG")?, 1)?;
        let written_by = config.read(0).schema;
        if written_by != 0 && written_by != SCHEMA {
            return Err(AttachError::Load(format!(
                "its pinned maps have layout {written_by}, this version writes {SCHEMA}; remove them \
                 with nexus0 detach"
            )));
        }
        let keys: Mapped<Keys> = Mapped::new(&self.take("KEYS")?, 1)?;
        let windows: Mapped<Peer> = Mapped::new(&self.take("WINDOWS")?, MAX_PEERS)?;
        let signed: Mapped<SignedPeer> = Mapped::new(&self.take("SIGNED")?, MAX_PEERS)?;
        let roster = Roster::new(Mapped::new(&self.take("ROSTER")?, 1)?)?;
        let counts = Map::PerCpuArray(self.take("COUNTS")?);
        let counts = PerCpuArray::try_from(counts).map_err(MapError::from)?;
        Ok(KernelMaps {
            config,
            keys,
            windows,
            signed,
            roster,
            counts,
        })
    }

    /// The ring buffer of sampled refusals. To be called once.
    pub fn events(&mut self) -> Result<Events, AttachError> {
        let ring = RingBuf::try_from(Map::RingBuf(self.take("EVENTS")?)).map_err(MapError::from)?;
        Ok(Events::new(ring))
    }

    /// Where the filter looks for the AF_XDP socket of a receive queue. To be called once.
    pub fn sockets(&mut self) -> Result<XskMap<MapData>, AttachError> {
        let sockets = XskMap::try_from(Map::XskMap(self.take("SOCKETS")?));
        Ok(sockets.map_err(MapError::from)?)
    }

    fn take(&mut self, name: &str) -> Result<MapData, AttachError> {
        match self.ebpf.take_map(name) {
            Some(
                Map::Array(data) | Map::PerCpuArray(data) | Map::RingBuf(data) | Map::XskMap(data),
            ) => Ok(data),
            _ => Err(AttachError::Load(format!(
                "no map {name} in it, or it was taken before"
            ))),
        }
    }
}

fn explain(error: EbpfError) -> AttachError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        let io = current
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        if matches!(io, Some(libc::EPERM)) {
            return AttachError::Permission {
                step: "loading the filter",
                missing: missing_capabilities(),
            };
        }
        cause = current.source();
    }
    AttachError::Load(error.to_string())
}
