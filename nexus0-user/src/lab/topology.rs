//! The link: one bridge, one namespace for each node and one for the attacker, each at the end of a
//! veth pair.
//!
//! The bridge does nothing clever: no learning, no snooping, no netfilter, no address. Unicast goes to
//! the one port that owns the address, multicast to all others, and every frame lost on the way is
//! counted by an interface.

use std::fs;
use std::io::Write;
use std::net::Ipv6Addr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::flood::kernel::{Link, Program};
use crate::lab::interface;
use crate::lab::netns::Netns;
use crate::lab::record::Record;
use crate::lab::sieve::Sieve;
use crate::lab::tally::Tally;

/// The name of every station's interface inside its namespace.
pub const INTERFACE: &str = "eth0";
/// The name of the bridge inside its namespace.
pub const BRIDGE: &str = "br0";
const PASS: i32 = 2;
/// More nodes than this, each speaking to each, do not fit into the kernel's table of neighbours: it holds
/// 1,024 for all namespaces together, unless they are permanent.
const LEARNED: usize = 24;

/// One end of the link: a node or the attacker.
#[derive(Debug)]
pub struct Station {
    /// Its namespace.
    pub netns: Netns,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// The bridge's end of its veth pair.
    pub port: String,
    /// Its number in the bridge's namespace.
    pub port_index: u32,
    /// Counts what it sends into the bridge.
    pub tally: Tally,
    /// It gets its address by [`Station::give_address`].
    late: bool,
}

/// The whole link.
#[derive(Debug)]
pub struct Topology {
    /// The bridge's namespace.
    pub bridge: Netns,
    /// Where nodes run; the first is node 1.
    pub nodes: Vec<Station>,
    /// Where the flood runs.
    pub attacker: Station,
    /// What is kept from being delivered, if anything is to be.
    pub sieve: Option<Sieve>,
    // Frames leave the attacker's interface only while a program is attached to it.
    _attacker_program: Link,
}

impl Topology {
    /// Builds a link for `nodes` nodes, of which the last `late` get no address yet.
    pub fn build(record: &mut Record, nodes: usize, late: usize) -> Result<Self> {
        let mut make = |suffix: &str| {
            let name = format!("nx0-{}-{suffix}", record.id());
            record.netns(&name)?;
            Netns::create(&name)
        };
        let bridge = make("link")?;
        let mut plans = Vec::new();
        for number in 1..=nodes {
            plans.push(Plan {
                late: number > nodes - late,
                ..Plan::new(
                    make(&format!("n{number}"))?,
                    number as u16,
                    &format!("p{number}"),
                )
            });
        }
        plans.push(Plan::new(make("foe")?, 0xf0e, "foe"));

        bridge.within(prepare_bridge)??;
        for plan in &plans {
            let silent = plan.port == "foe";
            plan.netns.within(|| prepare_station(silent, plan.late))??;
        }
        ip(&bridge, "ip", &links(&plans))?;
        ip(&bridge, "bridge", &forwarding(&plans))?;
        for plan in &plans {
            ip(
                &plan.netns,
                "ip",
                &format!("link set lo up\nlink set {INTERFACE} up\n"),
            )?;
        }
        let mut stations = plans
            .into_iter()
            .map(|plan| plan.finish(&bridge))
            .collect::<Result<Vec<Station>>>()?;
        let attacker = stations.pop().context("no attacker")?;
        if stations.len() > LEARNED {
            introduce(&stations)?;
        }
        let program = attacker.netns.within(|| {
            Program::constant(PASS)?.attach(nix::net::if_::if_nametoindex(INTERFACE)?)
        })?;
        let link = program.context("cannot attach a program to the attacker's interface")?;
        Ok(Self {
            bridge,
            nodes: stations,
            attacker,
            sieve: None,
            _attacker_program: link,
        })
    }

    /// Puts a sieve in front of every node that loses this share of what is delivered.
    pub fn sift(&mut self, loss: f64) -> Result<()> {
        let ports: Vec<u32> = self.nodes.iter().map(|node| node.port_index).collect();
        let sieve = self.bridge.within(|| {
            let mut sieve = Sieve::new()?;
            sieve.lose(loss)?;
            ports.into_iter().try_for_each(|port| sieve.attach(port))?;
            Ok::<_, std::io::Error>(sieve)
        })?;
        let why = "cannot attach to what leaves the bridge's ports (loss and cuts need Linux 6.6)";
        self.sieve = Some(sieve.context(why)?);
        Ok(())
    }

    /// Waits until every node has a link-local address it may speak from.
    pub fn wait_for_addresses(&self, patience: Duration) -> Result<Vec<Ipv6Addr>> {
        let deadline = Instant::now() + patience;
        self.nodes
            .iter()
            .filter(|node| !node.late)
            .map(|node| node.wait_for_address(deadline))
            .collect()
    }
}

impl Station {
    /// Its first link-local address, if it has one already.
    pub fn address(&self) -> Result<Option<Ipv6Addr>> {
        Ok(self
            .netns
            .within(|| interface::link_local(INTERFACE))??
            .first()
            .copied())
    }

    /// Gives it the address that its MAC address stands for, usable at once.
    pub fn give_address(&self) -> Result<()> {
        let address = link_local(&self.mac);
        let line = format!("addr add {address}/64 dev {INTERFACE} nodad\n");
        ip(&self.netns, "ip", &line)
    }

    fn wait_for_address(&self, deadline: Instant) -> Result<Ipv6Addr> {
        loop {
            if let Some(address) = self.address()? {
                return Ok(address);
            }
            ensure!(
                Instant::now() < deadline,
                "{} got no address",
                self.netns.name()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A station before its interfaces exist.
struct Plan {
    netns: Netns,
    mac: [u8; 6],
    port: String,
    late: bool,
}

impl Plan {
    fn new(netns: Netns, number: u16, port: &str) -> Self {
        let [high, low] = number.to_be_bytes();
        Self {
            netns,
            mac: [0x02, b'N', b'0', 0, high, low],
            port: port.to_owned(),
            late: false,
        }
    }

    fn finish(self, bridge: &Netns) -> Result<Station> {
        self.netns.within(|| interface::plain_frames(INTERFACE))??;
        let (port_index, tally) = bridge.within(|| {
            interface::plain_frames(&self.port)?;
            let index = interface::index(&self.port)?;
            let tally = Tally::attach(index)
                .with_context(|| format!("cannot attach a counter to bridge port {}", self.port))?;
            Ok::<_, anyhow::Error>((index, tally))
        })??;
        Ok(Station {
            netns: self.netns,
            mac: self.mac,
            port: self.port,
            port_index,
            tally,
            late: self.late,
        })
    }
}

fn prepare_bridge() -> Result<()> {
    set("ipv6/conf/all/disable_ipv6", "1")?;
    set("ipv6/conf/default/disable_ipv6", "1")?;
    for family in ["iptables", "ip6tables", "arptables"] {
        // Absent where bridge netfilter is: then there is nothing to turn off.
        set(&format!("bridge/bridge-nf-call-{family}"), "0").ok();
    }
    Ok(())
}

fn prepare_station(silent: bool, late: bool) -> Result<()> {
    if late {
        // IN6_ADDR_GEN_MODE_NONE: no address by itself.
        set("ipv6/conf/default/addr_gen_mode", "1")?;
    }
    if silent {
        set("ipv6/conf/all/disable_ipv6", "1")?;
        return set("ipv6/conf/default/disable_ipv6", "1");
    }
    set("ipv6/conf/default/accept_ra", "0")?;
    set("ipv6/conf/default/router_solicitations", "0")
}

fn set(key: &str, value: &str) -> Result<()> {
    let path = format!("/proc/sys/net/{key}");
    fs::write(&path, value).with_context(|| format!("cannot write {value} to {path}"))
}

fn links(plans: &[Plan]) -> String {
    let bridge = format!(
        "link add {BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0\n\
         link set {BRIDGE} up\n"
    );
    plans.iter().fold(bridge, |batch, plan| batch + &link(plan))
}

fn link(
    Plan {
        netns, mac, port, ..
    }: &Plan,
) -> String {
    format!(
        "link add {port} mtu 1500 type veth \
           peer name {INTERFACE} address {} mtu 1500 netns {}\n\
         link set {port} master {BRIDGE}\n\
         link set {port} type bridge_slave learning off flood off mcast_flood on\n\
         link set {port} up\n",
        text(mac),
        netns.name()
    )
}

fn forwarding(plans: &[Plan]) -> String {
    plans
        .iter()
        .fold(String::new(), |batch, Plan { mac, port, .. }| {
            batch + &format!("fdb replace {} dev {port} master static\n", text(mac))
        })
}

/// Tells every station all others' MAC addresses, for good.
fn introduce(stations: &[Station]) -> Result<()> {
    let lines = stations.iter().map(|other| {
        let (address, mac) = (link_local(&other.mac), text(&other.mac));
        format!("neigh replace {address} lladdr {mac} dev {INTERFACE} nud permanent\n")
    });
    let batch: String = lines.collect();
    stations
        .iter()
        .try_for_each(|station| ip(&station.netns, "ip", &batch))
}

/// The address that a MAC address stands for (RFC 4291, appendix A).
pub(super) fn link_local(&[a, b, c, d, e, f]: &[u8; 6]) -> Ipv6Addr {
    let host = [a ^ 2, b, c, 0xff, 0xfe, d, e, f];
    Ipv6Addr::from(0xfe80_u128 << 112 | u128::from(u64::from_be_bytes(host)))
}

pub(super) fn text(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Runs a batch of `ip` or `bridge` commands inside a namespace.
pub fn ip(netns: &Netns, tool: &str, batch: &str) -> Result<()> {
    let mut command = Command::new(tool);
    command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    command.stderr(Stdio::piped());
    netns.adopt(&mut command)?;
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{tool}` (package iproute2)"))?;
    let mut input = child.stdin.take().context("no input")?;
    input.write_all(batch.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{tool}` in {}: {}",
        netns.name(),
        complaint.trim()
    );
    Ok(())
}
