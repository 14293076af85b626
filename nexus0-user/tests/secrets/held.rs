//! A descriptor store of the test's own: sees what a node hands over, and finds the secrets in it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IoSliceMut, Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};
use sha2::Sha256;

/// Where nodes hand over.
pub(crate) struct Store(UnixDatagram);

impl Store {
    pub(crate) fn open(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// What has come since the last time: the words, and the file that came with them.
    pub(crate) fn take(&self) -> Vec<(String, Option<File>)> {
        std::iter::from_fn(|| self.receive()).collect()
    }

    fn receive(&self) -> Option<(String, Option<File>)> {
        let mut buffer = [0; 512];
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let mut control = nix::cmsg_space!([RawFd; 1]);
        let (fd, flags) = (self.0.as_raw_fd(), MsgFlags::MSG_CMSG_CLOEXEC);
        let message = recvmsg::<UnixAddr>(fd, &mut parts, Some(&mut control), flags).ok()?;
        let file = message.cmsgs().unwrap().find_map(|control| match control {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        let length = message.bytes;
        // SAFETY: the kernel made this descriptor for us with the message, and nobody else has it.
        let file = file.map(|fd| File::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        Some((text, file))
    }
}

/// All of a file.
pub(crate) fn content(mut file: &File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The epoch secrets in some bytes: what any of these key ids follows from (PROTOCOL section 3).
pub(crate) fn secrets_in(bytes: &[u8], mesh: &[u8], ids: &BTreeSet<[u8; 4]>) -> BTreeSet<[u8; 32]> {
    let all = bytes.windows(32).filter_map(|window| window.first_chunk());
    let named = |secret: &&[u8; 32]| {
        let id = derived(mesh, *secret, b"nexus0 v1 key id");
        ids.iter().any(|other| id.starts_with(other))
    };
    all.filter(named).copied().collect()
}

/// HKDF-SHA256 for up to thirty-two bytes.
pub(crate) fn derived(mesh: &[u8], secret: &[u8], info: &[u8]) -> [u8; 32] {
    let extracted = mac(mesh, &[secret]);
    mac(&extracted, &[info, &[1]])
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
