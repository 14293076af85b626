//! An interface seen from inside its namespace: number, counters, offloads, addresses.

use std::fs;
use std::io;
use std::net::Ipv6Addr;

use anyhow::{Context, Result};
use nix::libc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::os::fd::AsRawFd;

use crate::lab::account::Interface;

const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const SET_GRO: u32 = 0x2c;
const FLAG_TX_VLAN: u32 = 1 << 7;
const FLAG_RX_VLAN: u32 = 1 << 8;

/// The number of an interface of the calling thread's namespace.
pub fn index(name: &str) -> Result<u32> {
    nix::net::if_::if_nametoindex(name).with_context(|| format!("there is no interface {name}"))
}

/// The MAC address of an interface of the calling thread's namespace.
pub fn mac(name: &str) -> Result<[u8; 6]> {
    let addresses = nix::ifaddrs::getifaddrs()?;
    addresses
        .filter(|entry| entry.interface_name == name)
        .find_map(|entry| entry.address?.as_link_addr()?.addr())
        .with_context(|| format!("{name} has no MAC address"))
}

/// Counters of all interfaces of the calling thread's namespace, by name.
pub fn counters() -> Result<Vec<(String, Interface)>> {
    let text = fs::read_to_string("/proc/thread-self/net/dev")?;
    Ok(text.lines().filter_map(parse_counters).collect())
}

/// Counters of one interface of the calling thread's namespace.
pub fn counters_of(name: &str) -> Result<Interface> {
    let found = counters()?.into_iter().find(|(other, _)| other == name);
    Ok(found
        .with_context(|| format!("there is no interface {name}"))?
        .1)
}

/// `name: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs drop ..`
fn parse_counters(line: &str) -> Option<(String, Interface)> {
    let (name, numbers) = line.split_once(':')?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    let at = |index: usize| numbers.get(index).copied();
    let interface = Interface {
        received: at(1)?,
        receive_dropped: at(2)? + at(3)?,
        sent: at(9)?,
        send_dropped: at(10)? + at(11)?,
    };
    Some((name.trim().to_owned(), interface))
}

/// Link-local addresses of an interface whose duplicate address detection has finished.
pub fn link_local(name: &str) -> Result<Vec<Ipv6Addr>> {
    const TENTATIVE: u32 = 0x40;
    const FAILED: u32 = 0x08;
    const LINK_SCOPE: u32 = 0x20;
    let text = fs::read_to_string("/proc/thread-self/net/if_inet6")?;
    let mut addresses = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, scope, flags, interface] = fields[..] else {
            continue;
        };
        let hex = |text| u32::from_str_radix(text, 16).unwrap_or(0);
        if interface == name && hex(scope) == LINK_SCOPE && hex(flags) & (TENTATIVE | FAILED) == 0 {
            addresses.push(u128::from_str_radix(address, 16)?.into());
        }
    }
    Ok(addresses)
}

/// Keeps VLAN tags in the frames and the frames apart, as a wire would.
pub fn plain_frames(name: &str) -> Result<()> {
    let flags = ethtool(name, GET_FLAGS, 0)?;
    ethtool(name, SET_FLAGS, flags & !(FLAG_TX_VLAN | FLAG_RX_VLAN))
        .and_then(|_| ethtool(name, SET_GRO, 0))
        .with_context(|| format!("cannot turn off the offloads of {name}"))?;
    Ok(())
}

/// Turns generic receive offload on, which makes a veth without a program poll.
pub fn receive_offload(name: &str) -> Result<()> {
    ethtool(name, SET_GRO, 1)
        .with_context(|| format!("cannot turn on the receive offload of {name}"))?;
    Ok(())
}

fn ethtool(name: &str, command: u32, value: u32) -> io::Result<u32> {
    let socket = socket(
        AddressFamily::Inet6,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    let mut argument = [command, value];
    // SAFETY: an all-zero request is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request
        .ifr_name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(name.bytes())
    {
        *slot = byte as libc::c_char;
    }
    request.ifr_ifru.ifru_data = argument.as_mut_ptr().cast();
    // SAFETY: the request and the two words behind it live through the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(argument[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_net_dev_is_read() {
        let line = "  eth0: 100 5 1 2 0 0 0 9 200 7 3 4 0 0 0 0";
        let interface = Interface {
            received: 5,
            receive_dropped: 3,
            sent: 7,
            send_dropped: 7,
        };
        assert_eq!(parse_counters(line), Some(("eth0".to_owned(), interface)));
        assert_eq!(parse_counters("Inter-|   Receive"), None);
    }
}
