//! The running node: sockets, clock, filter and control socket around the protocol core. Nothing here
//! decides anything about the protocol.

mod address;
mod clock;
mod intake;
mod journal;
mod keep;
mod node_loop;
mod privileges;
mod report;
mod samples;
mod socket;
mod start;
mod twin;
mod watched;

use std::io;
use std::path::PathBuf;

use nexus0_core::grant::Grant;
use nexus0_core::identity::Identity;
use nexus0_core::node::{ConfigError, NodeConfig};
use tracing::Instrument;

pub use clock::now;
pub use intake::Receive;

use node_loop::NodeLoop;

use crate::dataplane::{AttachError, MapError, XdpMode};
use crate::store::{ConvictionsFolder, RevocationsFile, StoreError};

/// What a node needs to run.
#[derive(Debug)]
pub struct Options {
    /// Name of the interface.
    pub interface: String,
    /// Folder for control socket and pins.
    pub run_dir: PathBuf,
    /// Pulse and epoch.
    pub config: NodeConfig,
    /// UDP port.
    pub port: u16,
    /// Native or generic.
    pub mode: XdpMode,
    /// How accepted frames come in.
    pub receive: Receive,
    /// Count, but pass everything.
    pub observe: bool,
    /// Who this node is.
    pub identity: Identity,
    /// What it may be.
    pub grant: Grant,
    /// The mesh root's public key.
    pub root: [u8; 32],
    /// The name of an open mesh.
    pub open: Option<String>,
    /// Where the revocation list is kept; `None` in an open mesh, which has none.
    pub revocations: Option<RevocationsFile>,
    /// Where convictions are kept; `None` in an open mesh, where who is convicted comes back as another.
    pub convictions: Option<ConvictionsFolder>,
}

/// Why a node does not run. The filter stays attached if it was.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Pulse, epoch or grant.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The revocation list or a conviction kept is not understood.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The filter could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The filter could not be told what the node decided.
    #[error("the filter stays attached and refuses what it must: {0}")]
    Map(#[from] MapError),
    /// The interface went away, or another one came under its name.
    #[error("{0} was removed or made anew: start again once it is back (the filter went with it)")]
    InterfaceGone(String),
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// The cause.
        source: io::Error,
    },
    /// Hardening failed.
    #[error("cannot give up privileges: {0:#}")]
    Privileges(anyhow::Error),
}

impl RunError {
    fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// Runs a node on each of several interfaces until SIGTERM or SIGINT. Each is a link of its own: nothing but
/// the process is shared, and nothing is passed on from one to another but revocation lists. A node whose interface goes away ends;
/// the others go on, and its error is returned when they have ended.
pub fn run(nodes: Vec<Options>) -> Result<(), RunError> {
    privileges::harden().map_err(RunError::Privileges)?;
    // One thread: capabilities are a thread's, and the node is one loop.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RunError::io("start"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { together(start::start(nodes)?).await })
}

async fn together(nodes: Vec<NodeLoop>) -> Result<(), RunError> {
    let mut running = tokio::task::JoinSet::new();
    let several = nodes.len() > 1;
    for node in nodes {
        let span = if several {
            tracing::info_span!("link", iface = node.who.interface)
        } else {
            tracing::Span::none()
        };
        running.spawn_local(node.run().instrument(span));
    }
    let mut first = Ok(());
    while let Some(ended) = running.join_next().await {
        let ended = ended
            .map_err(io::Error::other)
            .map_err(RunError::io("go on"));
        if let Err(error) = ended.and_then(|ended| ended) {
            if !running.is_empty() {
                tracing::error!("{error}; the nodes on the other interfaces go on");
            }
            first = first.and(Err(error));
        }
    }
    first
}
