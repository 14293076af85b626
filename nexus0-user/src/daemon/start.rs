//! From options to a running node, in the order that leaves no gap: control socket (nobody else runs
//! here), filter, sockets; then the privileges go.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use nexus0_core::id::MeshId;
use nexus0_core::inbox::Inbox;
use nexus0_core::node::{Input, Node};
use nexus0_core::time::Time;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::address::{AddressWatch, LinkLocal};
use super::clock::{self, Alarm};
use super::intake::Intake;
use super::journal::Journal;
use super::keep::{self, Keeper};
use super::node_loop::{Memory, NodeLoop, Signals};
use super::report::Identification;
use super::samples::Samples;
use super::socket::MeshSocket;
use super::{Options, RunError, privileges};
use crate::api::server::Server;
use crate::api::socket_path;
use crate::api::types::ReceiveStatus;
use crate::dataplane::{self, Dataplane};
use crate::store::{ConvictionsFolder, RevocationsFile};

/// How often the filter hears that the controller lives; it must within a second.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How often an anchor looks at what its filter refused at the door (PROTOCOL section 6).
const DOOR_WATCH: Duration = Duration::from_millis(50);

/// Brings everything up on all interfaces, then gives up the privileges this took.
pub(super) fn start(nodes: Vec<Options>) -> Result<Vec<NodeLoop>, RunError> {
    let (lists, _) = watch::channel(Vec::new());
    let nodes = nodes.into_iter().map(|options| open(options, &lists));
    let nodes: Vec<NodeLoop> = nodes.collect::<Result<_, _>>()?;
    let kept = privileges::drop_capabilities().map_err(RunError::Privileges)?;
    for node in &nodes {
        announce(node, kept.is_empty());
    }
    Ok(nodes)
}

/// Brings up one interface; revocation lists are shared with the others.
fn open(options: Options, lists: &watch::Sender<Vec<u8>>) -> Result<NodeLoop, RunError> {
    let now = Time(clock::now());
    let mut who = Identification::new(&options);
    let control = socket_path(&options.run_dir, &options.interface);
    let plane_options = filter_options(&options)?;
    let kept = options.revocations.as_ref().map(RevocationsFile::load);
    let kept = kept.transpose()?.unwrap_or_default();
    let convictions = options.convictions.as_ref().map(ConvictionsFolder::load);
    let convictions = convictions.transpose()?.unwrap_or_default();
    let mut node = Node::new(
        options.config,
        options.identity,
        options.grant,
        options.root,
        random("random bytes for the node")?,
        now,
    )?;
    make_run_dir(&options.run_dir)?;
    let server = Server::open(&control).map_err(RunError::io(listening(&control)))?;
    let mut plane = Dataplane::open(&plane_options, Time(clock::now()))?;
    let now = Time(clock::now());
    keep::take_up(&mut node, &who.interface, now).map_err(RunError::io("take up what was kept"))?;
    node.distrust(now, plane.worn());
    node.handle_input(now, Input::Revocations(kept.bytes()));
    for conviction in &convictions {
        node.handle_input(now, Input::Conviction(&conviction.bytes()));
    }
    let keeper = Keeper::open(&who.interface).map_err(RunError::io("reach NOTIFY_SOCKET"))?;
    let index = interface_index(&who.interface)?;
    who.index = index;
    let socket = MeshSocket::open(&who.interface, index, options.port).map_err(RunError::io(
        format!("open UDP port {} on {}", options.port, who.interface),
    ))?;
    let intake = Intake::open(&mut plane, options.receive, socket, options.port)
        .map_err(RunError::io("watch the receive queues"))?;
    let watch = AddressWatch::new().map_err(RunError::io("watch addresses"))?;
    let alarm = Alarm::new().map_err(RunError::io("make a timer"))?;
    let signals = signals().map_err(RunError::io("wait for signals"))?;
    let refusals = plane.take_events();
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut door_watch = interval(DOOR_WATCH);
    door_watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut journal = Journal::default();
    journal.call(who.id, &who.member.name);
    let memory = Memory {
        address: LinkLocal::Missing,
        journal,
        samples: Samples::default(),
        counters: BTreeMap::new(),
        unkept: None,
    };
    Ok(NodeLoop {
        who,
        node,
        plane,
        refusals,
        intake,
        inbox: Inbox::default(),
        watch,
        alarm,
        heartbeat,
        door_watch,
        signals,
        server,
        revocations: options.revocations,
        convictions: options.convictions,
        news: lists.subscribe(),
        lists: lists.clone(),
        keeper,
        memory,
    })
}

fn filter_options(options: &Options) -> Result<dataplane::Options, RunError> {
    let key: [u8; 16] = random("random bytes for the filter")?;
    let (low, high) = (key.first_chunk(), key.last_chunk());
    let word = |bytes: Option<&[u8; 8]>| bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes));
    Ok(dataplane::Options {
        interface: options.interface.clone(),
        run_dir: options.run_dir.clone(),
        mode: options.mode,
        observe: options.observe,
        port: options.port,
        mesh: MeshId::of(&options.root),
        cell_key: [word(low), word(high)],
    })
}

fn random<const N: usize>(what: &str) -> Result<[u8; N], RunError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| RunError::io(format!("get {what}"))(io::Error::other(error)))?;
    Ok(bytes)
}

fn make_run_dir(path: &Path) -> Result<(), RunError> {
    let mut builder = fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o755).create(path);
    made.map_err(RunError::io(format!("make the folder {}", path.display())))
}

fn listening(control: &Path) -> String {
    format!("listen on {}", control.display())
}

pub(super) fn interface_index(name: &str) -> Result<u32, RunError> {
    nix::net::if_::if_nametoindex(name).map_err(|_| RunError::InterfaceGone(name.into()))
}

fn signals() -> io::Result<Signals> {
    Ok(Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    })
}

fn announce(node: &NodeLoop, unprivileged: bool) {
    let (who, status) = (&node.who, node.plane.status());
    let control = socket_path(&who.run_dir, &who.interface);
    let adopted = if status.adopted {
        "taken over from an earlier run"
    } else {
        "attached"
    };
    tracing::info!(
        "node {} \"{}\" of mesh {}",
        who.member.id,
        who.member.name,
        who.mesh_id
    );
    tracing::info!(
        "filter {adopted} on {} in {} mode, program {} ({})",
        who.interface,
        status.mode,
        status.program_id,
        status.verifier.words()
    );
    match node.intake.status() {
        ReceiveStatus { why: Some(why), .. } => {
            tracing::warn!("accepted frames come through the network stack, not AF_XDP: {why}");
        }
        ReceiveStatus {
            delivery: Some(delivery),
            queues,
            ..
        } => tracing::info!("accepted frames come by AF_XDP, {delivery}, from {queues} queue(s)"),
        ReceiveStatus { .. } => {}
    }
    if who.observe {
        tracing::warn!("observing only: frames are counted, none is refused");
    }
    if !unprivileged {
        tracing::info!("this kernel is older than 5.19: CAP_BPF is kept, all else is dropped");
    }
    tracing::info!(
        "control socket {}; `nexus0` shows the status",
        control.display()
    );
    tracing::info!("to undo: stop the node, then `{}`", who.undo());
}
