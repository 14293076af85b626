//! `nexus0 run`: be a node on an interface.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::anyhow;
use clap::ValueEnum;
use nexus0_common::wire::PORT;
use nexus0_core::grant::{Grant, GrantRequest, Kind};
use nexus0_core::identity::Identity;
use nexus0_core::node::{ConfigError, NodeConfig};
use nexus0_core::open::{MAX_OPEN_EGO, OPEN_SERIAL, open_root};
use tracing_subscriber::EnvFilter;

use super::options::{RUN_DIR, STATE_DIR, duration, interface_name};
use super::print::open_sentence;
use super::{Failure, mesh};
use crate::daemon::{self, Receive, RunError};
use crate::dataplane::{AttachError, XdpMode};
use crate::hex;
use crate::store::{
    ConvictionsFolder, GRANT_FILE, GrantFile, IDENTITY_FILE, RevocationsFile, StoreError,
    load_or_create_identity, read_public,
};

/// Options of `run`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Interface; repeat it for a node on each
    #[arg(long, value_name = "IF", env = "NX0_IFACE", required = true, value_delimiter = ',', value_parser = interface_name)]
    iface: Vec<String>,
    /// Sockets and pins
    #[arg(long, value_name = "DIR", env = "NX0_RUN_DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
    /// Identity and grant
    #[arg(long, value_name = "DIR", env = "NX0_STATE_DIR", default_value = STATE_DIR)]
    state_dir: PathBuf,
    /// The grant [default: grant.json in the state folder]
    #[arg(long, value_name = "FILE")]
    grant: Option<PathBuf>,
    /// An open mesh: who knows its name is in, without a grant
    #[arg(long, value_name = "NAME", conflicts_with_all = ["grant", "mesh_root"], value_parser = open_name)]
    open: Option<String>,
    #[command(flatten)]
    profile: Profile,
    /// The mesh root's public key [default: what the grant file says]
    #[arg(long, value_name = "FILE|HEX")]
    mesh_root: Option<String>,
    /// UDP port of the mesh
    #[arg(long, env = "NX0_PORT", default_value_t = PORT, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Time between pulses, if this node starts the mesh [default: 5s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pulse: Option<Duration>,
    /// Life of a key, if this node starts the mesh [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    epoch: Option<Duration>,
    /// For how long a living anchor is safe from a higher ego [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    hold_down: Option<Duration>,
    /// Time between fresh secrets, 0s to 24h, as the anchor [default: 1h]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    rekey: Option<Duration>,
    /// native: in the driver; generic: after it, slower
    #[arg(
        long,
        value_enum,
        default_value = "native",
        hide_possible_values = true
    )]
    xdp_mode: Mode,
    /// How frames come in: af-xdp is past the stack
    #[arg(
        long,
        value_enum,
        default_value = "socket",
        hide_possible_values = true
    )]
    rx: Rx,
    /// Count, but refuse nothing
    #[arg(long)]
    observe: bool,
    /// text or json, on standard error
    #[arg(long, value_enum, default_value = "text", hide_possible_values = true)]
    log_format: LogFormat,
}

/// What a node of an open mesh says of itself; elsewhere the grant says it.
#[derive(clap::Args)]
struct Profile {
    /// Name, with --open [default: the host's]
    #[arg(long, requires = "open", value_parser = mesh::name)]
    name: Option<String>,
    /// Bridge, Rig-Hub, Data-Mule or Agent, with --open [default: Agent]
    #[arg(long = "type", value_name = "TYPE", requires = "open", value_parser = mesh::kind)]
    kind: Option<Kind>,
    /// Zone, with --open
    #[arg(long, requires = "open", value_parser = mesh::zone)]
    zone: Option<String>,
    /// Fitness to lead, 0 to 50, with --open [default: 50]
    #[arg(long, requires = "open", value_parser = open_ego)]
    ego: Option<u8>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Native,
    Generic,
}

/// How accepted frames come in.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Rx {
    AfXdp,
    Socket,
}

impl From<Rx> for Receive {
    fn from(rx: Rx) -> Self {
        match rx {
            Rx::AfXdp => Self::AfXdp,
            Rx::Socket => Self::Socket,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    distinct(&args.iface)?;
    start_log(args.log_format);
    let (identity, path, new) = load_or_create_identity(&args.state_dir)?;
    if new {
        tracing::info!("made a new identity in {}", path.display());
    }
    let GrantFile { root, grant } = match &args.open {
        Some(name) => open_grant(name, &args.profile, &identity)?,
        None => load_grant(&args, &identity)?,
    };
    match &args.open {
        Some(name) => tracing::warn!("{}", open_sentence(name)),
        None => warn_about_environment(&grant),
    }
    let default = NodeConfig::default();
    let config = NodeConfig {
        pulse: args.pulse.unwrap_or(default.pulse),
        epoch: args.epoch.unwrap_or(default.epoch),
        hold_down: args.hold_down.unwrap_or(default.hold_down),
        rekey: args.rekey.unwrap_or(default.rekey),
        open: args.open.is_some(),
        ..default
    };
    let node = |interface: String| daemon::Options {
        interface,
        run_dir: args.run_dir.clone(),
        config: config.clone(),
        port: args.port,
        mode: match args.xdp_mode {
            Mode::Native => XdpMode::Native,
            Mode::Generic => XdpMode::Generic,
        },
        receive: args.rx.into(),
        observe: args.observe,
        identity: Identity::from_seed(&identity.seed()),
        grant: grant.clone(),
        root,
        open: args.open.clone(),
        revocations: args
            .open
            .is_none()
            .then(|| RevocationsFile::new(&args.state_dir, root)),
        convictions: args
            .open
            .is_none()
            .then(|| ConvictionsFolder::new(&args.state_dir, root)),
    };
    let nodes = args.iface.into_iter().map(node).collect();
    daemon::run(nodes).map_err(Failure::from)
}

/// Each interface once: two nodes on one link would be one identity twice.
fn distinct(interfaces: &[String]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    match interfaces.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => Err(Failure::usage(format!(
            "--iface {twice} is given twice: name each interface once"
        ))),
        None => Ok(()),
    }
}

fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_env("NX0_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

fn load_grant(args: &Args, identity: &Identity) -> Result<GrantFile, Failure> {
    let path = args
        .grant
        .clone()
        .unwrap_or_else(|| args.state_dir.join(GRANT_FILE));
    let pinned = args.mesh_root.as_deref().map(mesh_root).transpose()?;
    match GrantFile::load(&path, pinned.as_ref()) {
        Err(StoreError::Missing { .. }) => Err(Failure::usage(first_steps(args, &path, identity))),
        other => Ok(other?),
    }
}

/// In an open mesh everybody holds the root key and grants itself what anybody may have.
fn open_grant(mesh: &str, profile: &Profile, identity: &Identity) -> Result<GrantFile, Failure> {
    let root = open_root(mesh);
    let name = profile.name.clone().unwrap_or_else(host_name);
    let grant = root.issue(&GrantRequest {
        public_key: identity.public_key(),
        name: &name,
        zone: profile.zone.as_deref().unwrap_or_default(),
        kind: profile.kind.unwrap_or(Kind::Agent),
        ego: profile.ego.unwrap_or(MAX_OPEN_EGO),
        serial: OPEN_SERIAL,
    });
    let grant = grant.map_err(|error| Failure::usage(error.to_string()))?;
    let root = root.public_key();
    Ok(GrantFile { root, grant })
}

fn open_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
        return Err("allowed: a name of 1 to 64 bytes without control characters".into());
    }
    Ok(text.to_owned())
}

fn open_ego(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(ego @ 0..=MAX_OPEN_EGO) => Ok(ego),
        _ => Err(format!(
            "allowed in an open mesh: a number from 0 to {MAX_OPEN_EGO}"
        )),
    }
}

fn mesh_root(text: &str) -> Result<[u8; 32], Failure> {
    match hex::decode_array(text) {
        Ok(key) => Ok(key),
        Err(_) => Ok(read_public(Path::new(text))?),
    }
}

/// The three commands that make a first node.
fn first_steps(args: &Args, path: &Path, identity: &Identity) -> String {
    let key = hex::encode(&identity.public_key());
    let state = state_flag(&args.state_dir);
    format!(
        "{} does not exist: this node has no grant yet.\n\
         \n\
         To start a mesh with this machine as its root:\n\
         \n\
         \x20 nexus0 mesh init{dir}\n\
         \x20 nexus0 mesh grant{dir} --identity {} --name {} --out {}\n\
         \x20 nexus0 run --iface {}{state}\n\
         \n\
         To join a mesh, have its root sign this node's key and bring the file here:\n\
         \n\
         \x20 nexus0 mesh grant --key {key} \\\n\
         \x20   --name NAME --out {GRANT_FILE}\n\
         \n\
         To try it where everybody on the link is trusted, all with the same name:\n\
         \n\
         \x20 nexus0 run --iface {}{state} --open NAME",
        path.display(),
        args.state_dir.join(IDENTITY_FILE).display(),
        host_name(),
        path.display(),
        args.iface.join(" --iface "),
        args.iface.join(" --iface "),
        dir = state.replace("--state-dir", "--dir"),
    )
}

fn state_flag(folder: &Path) -> String {
    if folder == Path::new(STATE_DIR) {
        return String::new();
    }
    format!(" --state-dir {}", folder.display())
}

/// The host's name as far as it fits into a grant.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .filter(char::is_ascii_graphic)
        .take(16)
        .collect();
    if name.is_empty() {
        "node-1".into()
    } else {
        name
    }
}

/// What a node is comes from its grant; an environment that says otherwise is worth a word.
fn warn_about_environment(grant: &Grant) {
    let ego = grant.ego().to_string();
    let granted = [
        ("NX0_NAME", grant.name()),
        ("NX0_TYPE", grant.kind().name()),
        ("NX0_ZONE", grant.zone()),
        ("NX0_EGO", &ego),
    ];
    for (key, granted) in granted {
        match std::env::var(key) {
            Ok(value) if !value.eq_ignore_ascii_case(granted) => tracing::warn!(
                "{key}={value} is ignored: the grant says \"{granted}\"; \
                 have the root sign a new one with `nexus0 mesh grant`"
            ),
            _ => {}
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let text = shorten(error.to_string());
        match error {
            RunError::Config(
                ConfigError::Pulse(_)
                | ConfigError::Epoch { .. }
                | ConfigError::HoldDown(_)
                | ConfigError::Rekey(_)
                | ConfigError::Wire { .. },
            )
            | RunError::Attach(AttachError::UnknownInterface { .. }) => Self::Usage(text),
            RunError::Attach(AttachError::Permission { .. }) => Self::Permission(text),
            RunError::InterfaceGone(_) => Self::Again(text),
            RunError::Io { source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::Permission(format!("{text}: run as root"))
            }
            _ => Self::Other(anyhow!(text)),
        }
    }
}

/// The verifier can say a megabyte; its first and last words tell what is wrong.
fn shorten(text: String) -> String {
    const HEAD: usize = 300;
    const TAIL: usize = 1200;
    if text.len() <= HEAD + TAIL {
        return text;
    }
    let head: String = text.chars().take(HEAD).collect();
    let skip = text.chars().count().saturating_sub(TAIL);
    let tail: String = text.chars().skip(skip).collect();
    format!("{head}\n[..]\n{tail}")
}
