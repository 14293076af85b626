//! Which process is meant: a number alone is reused, so a start time stands beside it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::CommandExt;

/// A process, named so that no later one can be mistaken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Clock ticks between boot and its start.
    pub started: u64,
}

impl Identity {
    /// The calling process.
    pub fn own() -> Result<Self> {
        let pid = std::process::id() as i32;
        Self::of(pid).context("/proc does not show this process")
    }

    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in brackets may hold spaces; the start time is field 22, the 20th after the name.
        let (_, fields) = stat.rsplit_once(") ")?;
        if fields.starts_with('Z') {
            return None;
        }
        let started = fields.split(' ').nth(19)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Whether it still runs.
    pub fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Whether its network namespace is the one a file stands for.
    pub fn is_in(self, namespace: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let own = fs::metadata(format!("/proc/{}/ns/net", self.pid));
        match (own, fs::metadata(namespace)) {
            (Ok(own), Ok(other)) => (own.dev(), own.ino()) == (other.dev(), other.ino()),
            _ => false,
        }
    }

    /// Sends a signal, if it still runs.
    pub fn signal(self, signal: Signal) {
        if self.alive() {
            kill(Pid::from_raw(self.pid), signal).ok();
        }
    }
}

/// A child that is killed when this value or the whole program goes.
#[derive(Debug)]
pub struct Process {
    child: Child,
    identity: Identity,
}

impl Process {
    /// Starts a command that dies with the calling thread.
    pub fn start(command: &mut Command) -> Result<Self> {
        let parent = nix::unistd::getpid();
        let bind = move || {
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have gone before the call above.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(nix::Error::ESRCH.into())
            }
        };
        // SAFETY: between fork and exec the closure makes two system calls and allocates nothing.
        unsafe { command.pre_exec(bind) };
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let identity = Identity::of(child.id() as i32)
            .with_context(|| format!("{command:?} ended at once"))?;
        Ok(Self { child, identity })
    }

    /// Its number and start time.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it at once, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to end, and insists after `patience`.
    pub fn stop(&mut self, patience: Duration) {
        if self.ended().is_none() {
            self.identity.signal(Signal::SIGTERM);
        }
        let deadline = Instant::now() + patience;
        while self.ended().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a tool to its end; its complaint becomes the error.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    bail!(
        "{} failed ({}): {}",
        command.get_program().display(),
        status
            .signal()
            .map_or(status.to_string(), |s| format!("signal {s}")),
        complaint.trim()
    )
}

/// Pins the calling thread to one processor.
pub fn pin_to(processor: usize) -> Result<()> {
    let mut set = nix::sched::CpuSet::new();
    set.set(processor)?;
    nix::sched::sched_setaffinity(Pid::from_raw(0), &set)
        .with_context(|| format!("cannot run on processor {processor}"))
}

/// Clock ticks per second of `/proc`.
pub fn ticks_per_second() -> u64 {
    // SAFETY: sysconf reads a constant.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64
}
