//! One node of the lab: a `nexus0 run` process of its own, and what it says of itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::api::types::{Epochs, Request, Status};
use crate::api::{Client, socket_path};
use crate::lab::counts::Counts;
use crate::lab::ledger::Life;
use crate::lab::mesh::Admitted;
use crate::lab::netns::Netns;
use crate::lab::options::Options;
use crate::lab::process::Process;
use crate::lab::record::Record;
use crate::lab::supervisor::Supervisor;
use crate::lab::topology::INTERFACE;

/// A node, running or not.
#[derive(Debug)]
pub struct Node {
    /// Who it is in the mesh.
    pub admitted: Admitted,
    /// Folder of socket and pins.
    pub run_dir: PathBuf,
    /// Where its process writes.
    pub log: PathBuf,
    /// When its process was last started.
    pub started: Option<Instant>,
    process: Option<Process>,
    restarts: u32,
    late: bool,
    supervisor: Option<Supervisor>,
}

/// What a node said when it was asked.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Its status.
    pub status: Status,
    /// Its keys.
    pub epochs: Epochs,
}

impl Node {
    /// A node that does not run yet, with a BPF file system of its own.
    pub fn new(record: &mut Record, admitted: Admitted) -> Result<Self> {
        let folder = record.folder().join(&admitted.name);
        let run_dir = folder.join("run");
        fs::create_dir_all(&run_dir)?;
        record.mount_bpffs(&run_dir.join("bpf"))?;
        let log = folder.join("log");
        Ok(Self {
            admitted,
            run_dir,
            log,
            started: None,
            process: None,
            restarts: 0,
            late: false,
            supervisor: None,
        })
    }

    /// Starts its process inside the namespace.
    pub fn start(&mut self, record: &mut Record, netns: &Netns, options: &Options) -> Result<()> {
        ensure!(!self.alive(), "{} runs already", self.admitted.name);
        let log = File::options().create(true).append(true).open(&self.log)?;
        let own = || std::env::current_exe().context("cannot find the program's own file");
        let program = options.program.clone().map_or_else(own, Ok)?;
        let mut command = Command::new(program);
        command
            .args(["run", "--iface", INTERFACE])
            .arg("--run-dir")
            .arg(&self.run_dir)
            .arg("--state-dir")
            .arg(&self.admitted.state_dir)
            .args(&self.admitted.says)
            .args(["--pulse", &milliseconds(options.pulse)])
            .args(["--epoch", &milliseconds(options.epoch)])
            .args(["--hold-down", &milliseconds(options.hold_down)])
            .args(["--rekey", &milliseconds(options.rekey)])
            .args(["--rx", options.receive.name()])
            .stdin(Stdio::null())
            .current_dir("/");
        if options.generic {
            command.args(["--xdp-mode", "generic"]);
        }
        // The supervisor of the lab is none of the nodes'.
        command.env_remove("NOTIFY_SOCKET");
        if options.store && self.supervisor.is_none() {
            let path = self.run_dir.with_file_name("notify");
            self.supervisor = Some(Supervisor::open(&path)?);
        }
        if let Some(supervisor) = &self.supervisor {
            command = supervisor.supervise(command)?;
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .current_dir("/");
        } else {
            command.stdout(log.try_clone()?).stderr(log);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("NX0_") {
                command.env_remove(name);
            }
        }
        netns.adopt(&mut command)?;
        let process = Process::start(&mut command)?;
        record.process(process.identity())?;
        self.restarts += u32::from(self.started.is_some());
        self.started = Some(Instant::now());
        self.process = Some(process);
        Ok(())
    }

    /// Whether it was started and not ended by the lab, and has what it needs to take part.
    pub fn is_up(&self) -> bool {
        self.process.is_some() && !self.late
    }

    /// Makes it one that waits for its address, or not any more.
    pub fn set_late(&mut self, late: bool) {
        self.late = late;
    }

    /// Whether it waits for its address.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Descriptors held for it.
    pub fn held(&self) -> usize {
        self.supervisor.as_ref().map_or(0, Supervisor::count)
    }

    /// Has its supervisor forget what it holds.
    pub fn forget_held(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.forget();
        }
    }

    /// Sends its process a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.identity().signal(signal);
        }
    }

    /// Whether its process runs.
    pub fn alive(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
    }

    /// Ends its process as a power cut would: SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Asks its process to end and waits.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Duration::from_secs(2));
        }
    }

    /// Fails with the last lines of the log if the process ended by itself.
    pub fn check(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let Some(status) = process.ended() else {
            return Ok(());
        };
        self.process = None;
        anyhow::bail!(
            "node {} ended ({status}):\n{}",
            self.admitted.name,
            tail(&self.log, 12)
        )
    }

    /// The last line of its log, cut to a readable length.
    pub fn last_words(&self) -> String {
        tail(&self.log, 1).chars().take(200).collect()
    }

    /// Which run of its process this is.
    pub fn life(&self) -> Life {
        Life {
            node: self.admitted.id.clone(),
            restarts: self.restarts,
        }
    }

    /// Its filter's counters, once it has attached one.
    pub fn counts(&self) -> Result<Counts> {
        Counts::open(&self.run_dir, INTERFACE)
    }

    /// What it says now; `None` while it does not answer.
    pub fn look(&self) -> Option<Sight> {
        self.process.as_ref()?;
        let mut client = Client::connect(&socket_path(&self.run_dir, INTERFACE)).ok()?;
        let status = client.ask(&Request::Status).ok()?;
        let epochs = client.ask(&Request::Epochs).ok()?;
        Some(Sight { status, epochs })
    }

    /// Asks it something.
    pub fn ask<T: serde::de::DeserializeOwned>(&self, request: &Request) -> Result<T> {
        let mut client = Client::connect(&socket_path(&self.run_dir, INTERFACE))?;
        Ok(client.ask(request)?)
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    last.iter()
        .map(|line| line.chars().take(500).collect::<String>())
        .collect::<Vec<_>>()
        .join("\n")
}
