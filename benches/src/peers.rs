//! What refuses the flood: this filter and what else Linux has for the purpose, each put on the defended
//! interface as its users would.

use std::process::Command;

use anyhow::{Context, Result, anyhow};
use aya::programs::XdpMode;
use nexus0::dataplane;
use nexus0::flood::kernel;
use nexus0::lab::pair::{Pair, Receive};
use nexus0::lab::topology::INTERFACE;
use nexus0_common::wire::PORT;

use crate::world::World;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;

/// One way to refuse.
#[derive(Debug)]
pub(crate) struct Peer {
    /// As the tables say it.
    pub(crate) name: &'static str,
    /// Where in the receive path it decides.
    pub(crate) place: &'static str,
    /// What runs before it.
    pub(crate) receive: Receive,
    /// Program it needs, and the Debian package that has it.
    pub(crate) needs: Option<(&'static str, &'static str)>,
    /// Whether nothing of the flood may reach a socket.
    pub(crate) refuses: bool,
    put: fn(&mut Pair) -> Result<Placed>,
}

/// Peers that are not installed, and the packages that have them.
pub(crate) fn missing() -> Vec<String> {
    let missing = |peer: &Peer| {
        let (program, package) = peer.missing()?;
        let name = peer.name;
        Some(format!(
            "{name} (no `{program}`: apt-get install {package})"
        ))
    };
    PEERS.iter().filter_map(missing).collect()
}

/// The nearest ones: they refuse in the driver too, by header fields alone.
pub(crate) fn xdp_filters() -> impl Iterator<Item = &'static Peer> {
    PEERS
        .iter()
        .filter(|peer| peer.name.starts_with("xdp-filter"))
}

/// A peer at work, until dropped with its pair.
pub(crate) struct Placed {
    pub(crate) filter: Option<World>,
    /// How it was set up.
    pub(crate) command: String,
    _program: Option<kernel::Link>,
}

pub(crate) const DROP: &str = "XDP_DROP alone";
pub(crate) const NATIVE: &str = "NEXUS-0, native";

/// All that judge in the kernel; the first is what the others are measured against.
pub(crate) static PEERS: [Peer; 8] = [
    Peer {
        name: DROP,
        place: "driver",
        receive: Receive::Driver,
        needs: None,
        refuses: true,
        put: |pair| constant(pair, XDP_DROP, "two instructions: return XDP_DROP"),
    },
    Peer {
        name: NATIVE,
        place: "driver",
        receive: Receive::Driver,
        needs: None,
        refuses: true,
        put: |pair| filter(pair, XdpMode::Driver),
    },
    Peer {
        name: "xdp-filter",
        place: "driver",
        receive: Receive::Driver,
        needs: Some(("xdp-filter", "xdp-tools")),
        refuses: true,
        put: |pair| xdp_filter(pair, "all"),
    },
    Peer {
        name: "xdp-filter, UDP ports alone",
        place: "driver",
        receive: Receive::Driver,
        needs: Some(("xdp-filter", "xdp-tools")),
        refuses: true,
        put: |pair| xdp_filter(pair, "udp"),
    },
    Peer {
        name: "tc on clsact",
        place: "stack",
        receive: Receive::Stack,
        needs: Some(("tc", "iproute2")),
        refuses: true,
        put: clsact,
    },
    Peer {
        name: "nftables at ingress",
        place: "stack",
        receive: Receive::Stack,
        needs: Some(("nft", "nftables")),
        refuses: true,
        put: nftables,
    },
    Peer {
        name: "NEXUS-0, generic",
        place: "stack",
        receive: Receive::Stack,
        needs: None,
        refuses: true,
        put: |pair| filter(pair, XdpMode::Skb),
    },
    Peer {
        name: "XDP_PASS alone",
        place: "driver, then a full socket",
        receive: Receive::Driver,
        needs: None,
        refuses: false,
        put: |pair| constant(pair, XDP_PASS, "two instructions: return XDP_PASS"),
    },
];

impl Peer {
    /// The program that is missing and its package.
    pub(crate) fn missing(&self) -> Option<(&'static str, &'static str)> {
        self.needs.filter(|(program, _)| !found(program))
    }

    /// Puts it on the defended interface.
    pub(crate) fn put(&self, pair: &mut Pair) -> Result<Placed> {
        (self.put)(pair).with_context(|| format!("cannot set up {}", self.name))
    }
}

fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn constant(pair: &mut Pair, action: i32, words: &str) -> Result<Placed> {
    let index = pair.index()?;
    let program = pair
        .own
        .within(|| kernel::Program::constant(action)?.attach(index))??;
    Ok(Placed {
        filter: None,
        command: words.into(),
        _program: Some(program),
    })
}

fn filter(pair: &mut Pair, mode: XdpMode) -> Result<Placed> {
    let mut world = World::crowded()?;
    let index = pair.index()?;
    pair.own.within(|| world.attach(index, mode))??;
    let words = match mode {
        XdpMode::Skb => "nexus0 run --xdp-mode generic",
        _ => "nexus0 run",
    };
    Ok(Placed {
        filter: Some(world),
        command: words.into(),
        _program: None,
    })
}

/// The link's own file system for pins, lest anything of the machine's is touched.
fn xdp_filter(pair: &mut Pair, features: &str) -> Result<Placed> {
    let record = pair.record();
    let pins = record.folder().join("bpf");
    record.mount_bpffs(&pins)?;
    let port = PORT.to_string();
    let commands = [
        vec![
            "load",
            "--mode",
            "native",
            "--features",
            features,
            INTERFACE,
        ],
        vec!["port", "--mode", "dst", "--proto", "udp", &port],
    ];
    for arguments in &commands {
        let mut command = Command::new("xdp-filter");
        pair.run(command.args(arguments).env("LIBXDP_BPFFS", &pins))?;
    }
    Ok(tools("xdp-filter", &commands))
}

/// The id of the XDP program on the defended interface.
pub(crate) fn program_id(pair: &Pair) -> Result<u32> {
    let attached = pair.own.within(|| dataplane::attached(INTERFACE))?;
    Ok(attached.context("no XDP program is there")?.program.id)
}

fn nftables(pair: &mut Pair) -> Result<Placed> {
    let rules = format!(
        "add table netdev bench; add chain netdev bench ingress {{ type filter hook ingress device \
         \"{INTERFACE}\" priority 0; }}; add rule netdev bench ingress udp dport {PORT} drop"
    );
    pair.run(Command::new("nft").arg(&rules))?;
    Ok(tools("nft", &[vec![&rules]]))
}

/// The kernel's own matches where it has them and their action, else the classic BPF program that does as
/// much.
fn clsact(pair: &mut Pair) -> Result<Placed> {
    let port = PORT.to_string();
    let classic = format!(
        "8,40 0 0 12,21 0 5 34525,48 0 0 20,21 0 3 17,40 0 0 56,21 0 1 {port},6 0 0 2,6 0 0 4294967295"
    );
    let base = ["filter", "add", "dev", INTERFACE, "ingress"];
    let matches: [Vec<&str>; 3] = [
        vec![
            "protocol", "ipv6", "flower", "ip_proto", "udp", "dst_port", &port, "action", "drop",
        ],
        vec![
            "protocol", "ipv6", "u32", "match", "ip6", "dport", &port, "0xffff", "action", "drop",
        ],
        vec!["bpf", "bytecode", &classic, "direct-action"],
    ];
    pair.run(Command::new("tc").args(["qdisc", "add", "dev", INTERFACE, "clsact"]))?;
    let mut refused = anyhow!("no match to try");
    for words in matches {
        let arguments = [base.as_slice(), &words].concat();
        match pair.run(Command::new("tc").args(&arguments)) {
            Ok(()) => return Ok(tools("tc", &[arguments])),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn tools(program: &str, commands: &[Vec<&str>]) -> Placed {
    let lines: Vec<String> = commands
        .iter()
        .map(|arguments| format!("{program} {}", arguments.join(" ")))
        .collect();
    Placed {
        filter: None,
        command: lines.join("; "),
        _program: None,
    }
}
