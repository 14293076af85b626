//! What survives the process: a snapshot in a sealed memory file that whoever supervises this process
//! holds, and hands back when it is started again. The protocol is systemd's: `FDSTORE=1` over
//! `NOTIFY_SOCKET` (sd_notify), back by `LISTEN_FDS` (sd_listen_fds). No file, argument or variable ever
//! holds a secret.

use std::env;
use std::fs::{self, File, Permissions};
use std::io::{self, IoSlice, Read, Seek, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use nexus0_core::node::Node;
use nexus0_core::snapshot::{Mark, taken_at};
use nexus0_core::time::Time;
use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use zeroize::Zeroizing;

use crate::hex;

/// The first descriptor handed over (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;
/// More bytes than any snapshot has.
const LONGEST: u64 = 4 << 20;

/// Hands snapshots to the supervisor.
pub(super) struct Keeper {
    socket: UnixDatagram,
    name: String,
    /// Two names take turns, so that one snapshot is always held.
    turn: usize,
    held: Option<Mark>,
    boot: [u8; 16],
    complained: bool,
}

impl Keeper {
    /// One for a supervisor that asks to be notified, if there is one.
    pub(super) fn open(interface: &str) -> io::Result<Option<Self>> {
        let Some(path) = env::var_os("NOTIFY_SOCKET") else {
            return Ok(None);
        };
        let socket = UnixDatagram::unbound()?;
        match path.as_encoded_bytes() {
            [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            _ => socket.connect(&path)?,
        }
        socket.set_nonblocking(true)?;
        Ok(Some(Self {
            socket,
            name: interface.to_owned(),
            turn: 0,
            held: None,
            boot: boot_id()?,
            complained: false,
        }))
    }

    /// Hands over a new snapshot if there is something new.
    pub(super) fn keep(&mut self, node: &Node, now: Time) {
        let mark = node.snapshot_mark();
        if self.held.as_ref() != Some(&mark) {
            self.renew(node, now, mark);
        }
    }

    /// The same if there is a new key. To be called before anything is sent: an anchor that announced a key and
    /// came back without it would announce another under the same number.
    pub(super) fn keep_keys(&mut self, node: &Node, now: Time) {
        let mark = node.snapshot_mark();
        if !self.held.as_ref().is_some_and(|held| held.same_keys(&mark)) {
            self.renew(node, now, mark);
        }
    }

    fn renew(&mut self, node: &Node, now: Time, mark: Mark) {
        let Some(snapshot) = node.snapshot(now, self.boot) else {
            return;
        };
        match self.hand_over(&snapshot) {
            Ok(()) => self.held = Some(mark),
            // The supervisor is behind: the next wake tries again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!("cannot hand over what a restart should find again: {error}");
            }
            Err(_) => {}
        }
    }

    /// Has the supervisor forget everything: the node has left.
    pub(super) fn forget(&self) {
        for turn in 0..2 {
            let _ = self.say(
                &format!("FDSTOREREMOVE=1\nFDNAME={}", self.name_of(turn)),
                None,
            );
        }
    }

    fn hand_over(&mut self, snapshot: &[u8]) -> io::Result<()> {
        let file = sealed(snapshot)?;
        let (new, old) = (self.name_of(self.turn), self.name_of(1 - self.turn));
        let text = format!("FDSTORE=1\nFDNAME={new}\nFDPOLL=0");
        self.say(&text, Some(file.as_raw_fd()))?;
        self.turn = 1 - self.turn;
        self.say(&format!("FDSTOREREMOVE=1\nFDNAME={old}"), None)
    }

    fn name_of(&self, turn: usize) -> String {
        format!("{}.{turn}", self.name)
    }

    fn say(&self, text: &str, fd: Option<RawFd>) -> io::Result<()> {
        let fds: Vec<RawFd> = fd.into_iter().collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let control = if fds.is_empty() {
            &rights[..0]
        } else {
            &rights
        };
        let text = [IoSlice::new(text.as_bytes())];
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<UnixAddr>(self.socket.as_raw_fd(), &text, control, flags, None)?;
        Ok(())
    }
}

/// A memory file that nobody can change any more, or run.
fn sealed(bytes: &[u8]) -> io::Result<File> {
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
    let never_run = flags | MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    // Before Linux 6.3 the mode alone keeps it from being run.
    let file = memfd_create(c"nexus0", never_run).or_else(|_| memfd_create(c"nexus0", flags))?;
    let mut file = File::from(file);
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

/// Takes up the newest snapshot that was handed back for an interface, if any fits.
pub(super) fn take_up(node: &mut Node, interface: &str, now: Time) -> io::Result<()> {
    let mut snapshots = handed_back(interface)?;
    if snapshots.is_empty() {
        return Ok(());
    }
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse(taken_at(snapshot)));
    let boot = boot_id()?;
    for snapshot in &snapshots {
        match node.restore(now, boot, snapshot) {
            Ok(_) => break,
            Err(error) => tracing::warn!("what was kept is not taken up: {error}"),
        }
    }
    Ok(())
}

fn handed_back(interface: &str) -> io::Result<Vec<Zeroizing<Vec<u8>>>> {
    let number = |name: &str| env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(64) as RawFd;
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut found = Vec::new();
    for (fd, name) in (FIRST..FIRST + count).zip(names.split(':')) {
        let ours = name.rsplit_once('.').is_some_and(|(of, _)| of == interface);
        if ours {
            // SAFETY: the supervisor opened this descriptor for us and nothing else here uses it.
            let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
            fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            found.push(read(file)?);
        }
    }
    Ok(found)
}

fn read(mut file: File) -> io::Result<Zeroizing<Vec<u8>>> {
    let length = file.metadata()?.len().min(LONGEST);
    // Large enough from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(vec![0; length as usize]);
    file.rewind()?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Names this boot.
fn boot_id() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let text = text.trim().replace('-', "");
    hex::decode_array(&text).map_err(|_| io::Error::other("the kernel gives no boot id"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_over_cannot_be_changed_and_reads_the_same() {
        let file = sealed(b"secret").unwrap();
        let mut again = file.try_clone().unwrap();
        assert!(again.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err() && file.set_len(99).is_err());
        assert_eq!(**read(file).unwrap(), *b"secret");
    }

    #[test]
    fn this_boot_has_a_name() {
        assert_ne!(boot_id().unwrap(), [0; 16]);
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
