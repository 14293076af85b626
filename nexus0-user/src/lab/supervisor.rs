//! Holds what nodes hand over, as systemd's descriptor store does, and hands it back to their next
//! process: `FDSTORE=1` and `FDSTOREREMOVE=1` over a socket of each node's own, back by `LISTEN_FDS`.

use std::collections::BTreeMap;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Result;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, recvmsg};

type Held = Arc<Mutex<BTreeMap<String, OwnedFd>>>;

/// The store of one node.
#[derive(Debug)]
pub struct Supervisor {
    path: PathBuf,
    held: Held,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Listens at a path.
    pub fn open(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        let (held, over) = (Held::default(), Arc::new(AtomicBool::new(false)));
        let (theirs, end) = (Arc::clone(&held), Arc::clone(&over));
        let thread = thread::spawn(move || listen(&socket, &theirs, &end));
        Ok(Self {
            path: path.to_owned(),
            held,
            over,
            thread: Some(thread),
        })
    }

    /// Descriptors held now.
    pub fn count(&self) -> usize {
        self.held().len()
    }

    /// Forgets everything.
    pub fn forget(&self) {
        self.held().clear();
    }

    /// The same command, told where to hand over and given what is held.
    pub fn supervise(&self, command: Command) -> Result<Command> {
        let held = self.held();
        let fds: Vec<OwnedFd> = held
            .values()
            .map(OwnedFd::try_clone)
            .collect::<io::Result<_>>()?;
        let names: Vec<&str> = held.keys().map(String::as_str).collect();
        let mut outer = Command::new("/bin/sh");
        outer.arg("-c").arg(script(&fds)).arg("sh");
        outer.arg(command.get_program()).args(command.get_args());
        outer
            .env("NOTIFY_SOCKET", &self.path)
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"));
        let inherit = move || {
            fds.iter()
                .try_for_each(|fd| fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(drop))
                .map_err(io::Error::from)
        };
        // SAFETY: between fork and exec the closure makes system calls on descriptors it owns.
        unsafe { outer.pre_exec(inherit) };
        Ok(outer)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, OwnedFd>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// The process id is known only after the fork, so a shell fills it in, puts the descriptors where they are
/// looked for, and becomes the program.
fn script(fds: &[OwnedFd]) -> String {
    let number = |fd: &OwnedFd| fd.as_raw_fd();
    let moved = fds.iter().enumerate().map(|(index, fd)| {
        let (to, from) = (index + 3, number(fd));
        format!("exec {to}</proc/self/fd/{from}; ")
    });
    moved.collect::<String>() + "LISTEN_PID=$$; export LISTEN_PID; exec \"$@\""
}

fn listen(socket: &UnixDatagram, held: &Held, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        if poll(&mut waiting, PollTimeout::from(50_u8)).is_err() {
            continue;
        }
        while let Ok((text, fd)) = receive(socket) {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            apply(&mut held, &text, fd);
        }
    }
}

fn apply(held: &mut BTreeMap<String, OwnedFd>, text: &str, fd: Option<OwnedFd>) {
    let line = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
    let Some(name) = line("FDNAME=") else { return };
    if line("FDSTOREREMOVE=") == Some("1") {
        held.remove(name);
    } else if line("FDSTORE=") == Some("1")
        && let Some(fd) = fd
    {
        held.insert(name.to_owned(), fd);
    }
}

fn receive(socket: &UnixDatagram) -> io::Result<(String, Option<OwnedFd>)> {
    let mut buffer = [0; 512];
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    let fd = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    let length = message.bytes;
    // SAFETY: the kernel made this descriptor for us with the message, and nobody else has it.
    let fd = fd.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    Ok((text, fd))
}
