//! Why a filter could not be put on an interface, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use aya::programs::ProgramError;
use thiserror::Error;

use super::maps::MapError;

/// A program that sits where ours should.
#[derive(Clone, Debug)]
pub struct Occupant {
    /// Kernel id.
    pub id: u32,
    /// Name as the kernel truncated it.
    pub name: String,
    /// Tag, hexadecimal.
    pub tag: String,
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (id {}, tag {})", self.name, self.id, self.tag)
    }
}

/// A failed attempt; nothing was changed unless the variant says so.
#[derive(Debug, Error)]
pub enum AttachError {
    /// No such interface.
    #[error("there is no interface {name} here; there are: {}", .known.join(", "))]
    UnknownInterface {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// EOPNOTSUPP.
    #[error(
        "the driver of {interface} has no native XDP; use another interface, or ask for the slower \
         generic mode with --xdp-mode generic"
    )]
    NoNativeXdp {
        /// The interface.
        interface: String,
    },
    /// ERANGE.
    #[error(
        "the MTU of {interface} ({mtu}) is too large for native XDP (a veth takes about 3500); \
         lower it with: ip link set {interface} mtu 1500"
    )]
    MtuTooLarge {
        /// The interface.
        interface: String,
        /// Its MTU, 0 if it could not be read.
        mtu: u32,
    },
    /// EEXIST or EBUSY.
    #[error(
        "another XDP program is on {interface}: {}; remove it first (ip link set {interface} xdp off, \
         or the tool that put it there; a NEXUS-0 node with another run folder counts as one)",
        .occupant.as_ref().map_or_else(|| "one this process may not see".to_owned(), ToString::to_string)
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// The program, if it could be read.
        occupant: Option<Occupant>,
    },
    /// EPERM or EACCES.
    #[error("{step} is not permitted: {}", permission(.missing))]
    Permission {
        /// What was tried.
        step: &'static str,
        /// Capabilities the process lacks.
        missing: Vec<&'static str>,
    },
    /// The kernel offered the older kind of attachment, which dies differently.
    #[error(
        "the kernel refused an XDP link on {interface} and offered the older netlink attachment, which \
         would vanish or stay at the wrong time; XDP links need Linux 5.9"
    )]
    NoLink {
        /// The interface.
        interface: String,
    },
    /// The kernel attached in another mode.
    #[error(
        "asked for {asked} XDP on {interface} and got {got}; the filter is attached and pinned"
    )]
    OtherMode {
        /// The interface.
        interface: String,
        /// Requested.
        asked: super::XdpMode,
        /// Reported.
        got: super::XdpMode,
    },
    /// Tags stay hidden from the filter.
    #[error(
        "{interface} strips VLAN tags before the filter can see them and will not stop \
         (ethtool -K {interface} rxvlan off failed: {source})"
    )]
    VlanOffload {
        /// The interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// The folder of the pins.
    #[error("cannot {step} {}: {source}", .path.display())]
    Pins {
        /// What was tried.
        step: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Pinned maps of another version.
    #[error(
        "{} holds maps of another version of NEXUS-0 ({detail}); remove them with: nexus0 detach --iface {interface}",
        .path.display()
    )]
    Schema {
        /// The interface.
        interface: String,
        /// Where.
        path: PathBuf,
        /// What differs.
        detail: String,
    },
    /// The verifier's or the kernel's refusal.
    #[error("the kernel refused the filter: {0}")]
    Load(String),
    /// A map failed after loading.
    #[error(transparent)]
    Map(#[from] MapError),
    /// Any other refusal of the attachment.
    #[error("cannot attach the filter to {interface}: {source}")]
    Attach {
        /// The interface.
        interface: String,
        /// The kernel's answer.
        source: ProgramError,
    },
}

fn permission(missing: &[&str]) -> String {
    if missing.is_empty() {
        "all capabilities are there, so seccomp, a security module or a container's policy forbids it; \
         see the kernel log"
            .to_owned()
    } else {
        format!("run as root, or with {}", missing.join(" + "))
    }
}

/// The capabilities a loader needs that this process lacks.
pub(super) fn missing_capabilities() -> Vec<&'static str> {
    use caps::{CapSet, Capability};
    [
        (Capability::CAP_BPF, "CAP_BPF"),
        (Capability::CAP_NET_ADMIN, "CAP_NET_ADMIN"),
    ]
    .into_iter()
    .filter(|(cap, _)| !caps::has_cap(None, CapSet::Effective, *cap).unwrap_or(false))
    .map(|(_, name)| name)
    .collect()
}
