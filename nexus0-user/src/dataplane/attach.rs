//! Putting the program on an interface: by a pinned link, natively unless asked otherwise.

use std::fmt;
use std::io;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;
use aya::programs::{self, ProgramError, Xdp};
use nix::libc;

use super::error::{AttachError, missing_capabilities};
use super::interface;
use super::pins::Pins;

/// Where in the receive path the filter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before a buffer is made.
    Native,
    /// In the stack, after; slower.
    Generic,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

impl XdpMode {
    fn flags(self) -> programs::XdpMode {
        match self {
            Self::Native => programs::XdpMode::Driver,
            Self::Generic => programs::XdpMode::Skb,
        }
    }
}

/// Swaps the program behind a pinned link, or makes and pins a new link.
pub(super) fn attach(
    program: &mut Xdp,
    interface: &str,
    index: u32,
    mode: XdpMode,
    pins: &Pins,
) -> Result<(), AttachError> {
    if let Some(link) = surviving_link(pins)? {
        match program.attach_to_link(link) {
            // The pin outlives this descriptor.
            Ok(_) => return Ok(()),
            // The link's interface is gone; one of the same name took its place.
            Err(ProgramError::SyscallError(e)) if errno(&e.io_error) == libc::ENOLINK => {
                pins.remove_link()?;
            }
            Err(source) => return Err(explain(source, interface, mode)),
        }
    }
    let id = program
        .attach_to_if_index(index, mode.flags())
        .map_err(|source| explain(source, interface, mode))?;
    let link = program
        .take_link(id)
        .map_err(|source| explain(source, interface, mode))?;
    let link = FdLink::try_from(link).map_err(|_| AttachError::NoLink {
        interface: interface.to_owned(),
    })?;
    link.pin(pins.link()).map_err(|error| AttachError::Pins {
        step: "pin the link at",
        path: pins.link(),
        source: io::Error::other(error),
    })?;
    Ok(())
}

fn surviving_link(pins: &Pins) -> Result<Option<XdpLink>, AttachError> {
    if !pins.link().exists() {
        return Ok(None);
    }
    let failed = |source| AttachError::Pins {
        step: "open the pinned link",
        path: pins.link(),
        source,
    };
    let link = PinnedLink::from_pin(pins.link()).map_err(|e| failed(io::Error::other(e)))?;
    XdpLink::try_from(FdLink::from(link))
        .map(Some)
        .map_err(|e| failed(io::Error::other(e)))
}

/// The mode the kernel reports, which must be the one asked for.
pub(super) fn confirm(interface: &str, asked: XdpMode) -> Result<XdpMode, AttachError> {
    match interface::attached(interface) {
        Some(found) if found.mode != asked => Err(AttachError::OtherMode {
            interface: interface.to_owned(),
            asked,
            got: found.mode,
        }),
        _ => Ok(asked),
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

fn explain(source: ProgramError, interface: &str, mode: XdpMode) -> AttachError {
    let number = match &source {
        ProgramError::SyscallError(error) => errno(&error.io_error),
        _ => 0,
    };
    let interface = interface.to_owned();
    match number {
        libc::EOPNOTSUPP if mode == XdpMode::Native => AttachError::NoNativeXdp { interface },
        libc::ERANGE => AttachError::MtuTooLarge {
            mtu: interface::mtu(&interface),
            interface,
        },
        libc::EEXIST | libc::EBUSY => AttachError::Occupied {
            occupant: interface::attached(&interface).map(|found| found.program),
            interface,
        },
        libc::EPERM | libc::EACCES => AttachError::Permission {
            step: "attaching the filter",
            missing: missing_capabilities(),
        },
        _ => AttachError::Attach { interface, source },
    }
}
