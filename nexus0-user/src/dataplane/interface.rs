//! What the kernel knows about an interface: index, MTU, VLAN offload, the XDP program on it.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsRawFd;
use std::process::Command;

use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use serde::Deserialize;

use super::attach::XdpMode;
use super::error::{AttachError, Occupant};

/// A program found on an interface.
#[derive(Clone, Debug)]
pub struct Attached {
    /// How it is attached.
    pub mode: XdpMode,
    /// What it is.
    pub program: Occupant,
}

/// The interface's index.
pub(super) fn index(name: &str) -> Result<u32, AttachError> {
    nix::net::if_::if_nametoindex(name).map_err(|_| AttachError::UnknownInterface {
        name: name.to_owned(),
        known: known(),
    })
}

fn known() -> Vec<String> {
    let names = nix::net::if_::if_nameindex();
    let names = names.iter().flat_map(nix::net::if_::Interfaces::to_slice);
    names
        .map(|interface| interface.name().to_string_lossy().into_owned())
        .collect()
}

/// The interface's MTU, 0 if it cannot be read.
pub(super) fn mtu(name: &str) -> u32 {
    show(name).map_or(0, |link| link.mtu)
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    mtu: u32,
    xdp: Option<LinkXdp>,
}

#[derive(Deserialize)]
struct LinkXdp {
    mode: u8,
    prog: Option<LinkProgram>,
}

#[derive(Deserialize)]
struct LinkProgram {
    id: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    tag: String,
}

/// What `ip` says about an interface. (Not sysfs, which shows the network namespace of its mount.)
fn show(name: &str) -> Option<Link> {
    let output = Command::new("ip")
        .args(["-json", "-details", "link", "show", name])
        .output()
        .ok()?;
    let links: Vec<Link> = serde_json::from_slice(&output.stdout).ok()?;
    links.into_iter().next()
}

/// The XDP program on an interface as `ip` reports it; `None` if there is none or `ip` is missing.
pub fn attached(name: &str) -> Option<Attached> {
    let xdp = show(name)?.xdp?;
    let program = xdp.prog?;
    // IF_LINK's XDP_ATTACHED_SKB; with a single program the rest is the driver or the device.
    const GENERIC: u8 = 2;
    Some(Attached {
        mode: if xdp.mode == GENERIC {
            XdpMode::Generic
        } else {
            XdpMode::Native
        },
        program: Occupant {
            id: program.id,
            name: program.name,
            tag: program.tag,
        },
    })
}

/// `struct ifreq` with a pointer as its union.
#[repr(C)]
struct Request {
    name: [libc::c_char; libc::IFNAMSIZ],
    data: *mut c_void,
    rest: [u8; 16],
}

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct ethtool_channels`: the command, then the most and the present numbers of receive, transmit, other
/// and combined queues.
#[repr(C)]
struct EthtoolChannels {
    command: u32,
    most: [u32; 4],
    count: [u32; 4],
}

const GET_CHANNELS: u32 = 0x3c;
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const FLAG_RX_VLAN: u32 = 1 << 8;

/// Turns receive VLAN offload off: the device would strip tags and the filter would judge a tagged
/// frame as if it were plain.
pub(super) fn keep_vlan_tags(name: &str) -> Result<(), AttachError> {
    let failed = |source| AttachError::VlanOffload {
        interface: name.to_owned(),
        source,
    };
    let mut flags = EthtoolValue {
        command: GET_FLAGS,
        data: 0,
    };
    match ethtool(name, &mut flags) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    if flags.data & FLAG_RX_VLAN != 0 {
        let mut off = EthtoolValue {
            command: SET_FLAGS,
            data: flags.data & !FLAG_RX_VLAN,
        };
        ethtool(name, &mut off).map_err(failed)?;
    }
    Ok(())
}

/// Receive queues in use; one where the driver does not say.
pub(super) fn receive_queues(name: &str) -> u32 {
    let mut channels = EthtoolChannels {
        command: GET_CHANNELS,
        most: [0; 4],
        count: [0; 4],
    };
    let [receive, _, _, combined] = match ethtool(name, &mut channels) {
        Ok(()) => channels.count,
        Err(_) => return 1,
    };
    (receive + combined).max(1)
}

/// Asks the driver; `value` begins with the command, and the answer is written to it.
fn ethtool<T>(name: &str, value: &mut T) -> io::Result<()> {
    let socket = socket(
        AddressFamily::Inet6,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut request = Request {
        name: [0; libc::IFNAMSIZ],
        data: (&raw mut *value).cast(),
        rest: [0; 16],
    };
    for (to, from) in request
        .name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(name.bytes())
    {
        *to = from as libc::c_char;
    }
    // SAFETY: the request and the value it points to live across the call and have the kernel's layout.
    let result =
        unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
