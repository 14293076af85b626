//! The shortest link: one veth pair between two namespaces, the attacker's and that of the machine that is
//! defended. Nothing lies between them, so what one sends is what the other's driver takes.

use std::process::Command;

use anyhow::{Context, Result};

use crate::flood::Generator;
use crate::lab::interface;
use crate::lab::netns::Netns;
use crate::lab::process;
use crate::lab::record::Record;
use crate::lab::topology::{INTERFACE, ip, link_local, text};

/// MAC address of the defended end.
pub const OWN_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// MAC address of the attacker's end.
pub const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Who takes the frames first on the defended side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// An XDP program in the driver.
    Driver,
    /// The stack; generic receive offload is on, as on any card, since veth polls only then.
    Stack,
}

/// The pair; dropped, it is gone.
#[derive(Debug)]
pub struct Pair {
    /// Where the flood comes from.
    pub attacker: Netns,
    /// Where it goes.
    pub own: Netns,
    // Takes the namespaces away.
    record: Record,
}

impl Pair {
    /// A pair with so many queues in each direction.
    pub fn build(queues: usize, receive: Receive) -> Result<Self> {
        let mut record = Record::open()?;
        let mut make = |suffix: &str| {
            let name = format!("nx0-{}-{suffix}", record.id());
            record.netns(&name)?;
            Netns::create(&name)
        };
        let (attacker, own) = (make("foe")?, make("own")?);
        silence(&attacker)?;
        silence(&own)?;
        ip(
            &own,
            "ip",
            &format!(
                "link add {INTERFACE} address {own_mac} mtu 1500 numtxqueues {queues} numrxqueues {queues} \
                   type veth peer name {INTERFACE} address {peer_mac} mtu 1500 numtxqueues {queues} \
                   numrxqueues {queues} netns {attacker}\n\
                 link set lo up\nlink set {INTERFACE} up\n\
                 addr add {address}/64 dev {INTERFACE} nodad\n",
                own_mac = text(&OWN_MAC),
                peer_mac = text(&PEER_MAC),
                attacker = attacker.name(),
                address = link_local(&OWN_MAC),
            ),
        )?;
        ip(&attacker, "ip", &format!("link set {INTERFACE} up\n"))?;
        attacker.within(|| interface::plain_frames(INTERFACE))??;
        own.within(|| interface::plain_frames(INTERFACE))??;
        let pair = Self {
            attacker,
            own,
            record,
        };
        if receive == Receive::Stack {
            pair.own
                .within(|| interface::receive_offload(INTERFACE))??;
        }
        Ok(pair)
    }

    /// A generator at the attacker's end.
    pub fn generator(&self) -> Result<Generator> {
        self.attacker.within(|| Generator::new(INTERFACE))?
    }

    /// Number of the defended interface.
    pub fn index(&self) -> Result<u32> {
        self.own.within(|| interface::index(INTERFACE))?
    }

    /// The pair's folder and record, for what a peer mounts.
    pub fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Runs a tool on the defended side.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        self.own.adopt(command)?;
        process::run(command)
    }
}

/// No address, no neighbour, no router but those that are given.
fn silence(netns: &Netns) -> Result<()> {
    let set = |key: &str, value: &str| {
        let path = format!("/proc/sys/net/ipv6/conf/{key}");
        std::fs::write(&path, value).with_context(|| format!("cannot write {value} to {path}"))
    };
    netns.within(|| {
        set("default/addr_gen_mode", "1")?;
        set("default/accept_ra", "0")?;
        set("default/router_solicitations", "0")
    })?
}
