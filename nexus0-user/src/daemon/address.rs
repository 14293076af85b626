//! The interface's link-local address: which one, and whether duplicate address detection is over.

use std::fs;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::watched::Watched;
use crate::hex;

/// Still being checked for duplicates (`IFA_F_TENTATIVE`).
const TENTATIVE: u32 = 0x40;
/// Somebody else has it (`IFA_F_DADFAILED`).
const DUPLICATE: u32 = 0x08;
/// Link scope in `/proc/net/if_inet6` (`IPV6_ADDR_LINKLOCAL`).
const LINK_SCOPE: u32 = 0x20;
/// Multicast group that announces IPv6 address changes (`RTMGRP_IPV6_IFADDR`).
const ADDRESS_CHANGES: u32 = 0x100;

/// What an interface has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkLocal {
    /// An address that may be used.
    Ready([u8; 16]),
    /// An address that is still being checked.
    Checking([u8; 16]),
    /// An address that somebody else on the link uses.
    Duplicate([u8; 16]),
    /// None.
    Missing,
}

impl LinkLocal {
    /// What the kernel says now about the interface with this index.
    pub(super) fn read(index: u32) -> io::Result<Self> {
        Ok(Self::parse(
            &fs::read_to_string("/proc/thread-self/net/if_inet6")?,
            index,
        ))
    }

    /// The best of the interface's addresses in the text of `/proc/net/if_inet6`.
    fn parse(text: &str, index: u32) -> Self {
        let mut best = Self::Missing;
        for found in text.lines().filter_map(|line| parse_line(line, index)) {
            if found.preference() > best.preference() {
                best = found;
            }
        }
        best
    }

    fn preference(self) -> u8 {
        match self {
            Self::Ready(_) => 3,
            Self::Checking(_) => 2,
            Self::Duplicate(_) => 1,
            Self::Missing => 0,
        }
    }

    /// What a person should know about it.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Ready(address) => format!("{} is ready", Ipv6Addr::from(address)),
            Self::Checking(address) => {
                format!(
                    "{} is being checked for duplicates",
                    Ipv6Addr::from(address)
                )
            }
            Self::Duplicate(address) => format!(
                "{} is used by another machine on this link: give the interface another MAC or address",
                Ipv6Addr::from(address)
            ),
            Self::Missing => "no link-local IPv6 address: bring the interface up, and look at \
                              net.ipv6.conf.*.disable_ipv6 and addr_gen_mode"
                .into(),
        }
    }
}

/// What this machine calls the interface that has an address.
pub(super) fn interface_with(address: [u8; 16]) -> Option<String> {
    named(
        &fs::read_to_string("/proc/thread-self/net/if_inet6").ok()?,
        address,
    )
}

fn named(text: &str, address: [u8; 16]) -> Option<String> {
    let has = |line: &&str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        hex::decode_array(first) == Ok(address)
    };
    let name = text.lines().find(has)?.split_whitespace().last()?;
    Some(name.to_owned())
}

/// Fields: address, index, prefix length, scope, flags, name; all but the name hexadecimal.
fn parse_line(line: &str, wanted: u32) -> Option<LinkLocal> {
    let mut fields = line.split_whitespace();
    let address = hex::decode_array::<16>(fields.next()?).ok()?;
    let mut number = || u32::from_str_radix(fields.next()?, 16).ok();
    let (index, _prefix, scope, flags) = (number()?, number()?, number()?, number()?);
    // The mesh's rule is fe80::/64, narrower than link scope.
    if index != wanted || scope != LINK_SCOPE || address[..8] != [0xfe, 0x80, 0, 0, 0, 0, 0, 0] {
        return None;
    }
    Some(if flags & DUPLICATE != 0 {
        LinkLocal::Duplicate(address)
    } else if flags & TENTATIVE != 0 {
        LinkLocal::Checking(address)
    } else {
        LinkLocal::Ready(address)
    })
}

/// Says when some IPv6 address of this machine changed.
pub(super) struct AddressWatch(Watched<OwnedFd>);

impl AddressWatch {
    pub(super) fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let kind = SockType::Raw;
        let fd = socket(
            AddressFamily::Netlink,
            kind,
            flags,
            SockProtocol::NetlinkRoute,
        )?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, ADDRESS_CHANGES))?;
        Ok(Self(Watched::new(fd)?))
    }

    /// Returns after a change. What changed is read from /proc: an overflow of this queue loses nothing.
    pub(super) async fn changed(&self) -> io::Result<()> {
        self.0.readable().await?;
        let mut buffer = [0; 4096];
        while recv(self.0.get().as_raw_fd(), &mut buffer, MsgFlags::empty()).is_ok() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
00000000000000000000000000000001 01 80 10 80       lo
fe800000000000000000000000000001 02 40 20 80     eth0
fe800000000000000000000000000002 03 40 20 c0     eth1
fe800000000000000000000000000003 04 40 20 c8     eth2
20010db8000000000000000000000001 05 40 00 80     eth3
fe800000000000010000000000000001 06 40 20 80     eth4
";

    fn address(last: u8) -> [u8; 16] {
        [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
    }

    #[test]
    fn the_state_of_each_interface_is_told_apart() {
        assert_eq!(LinkLocal::parse(TEXT, 2), LinkLocal::Ready(address(1)));
        assert_eq!(LinkLocal::parse(TEXT, 3), LinkLocal::Checking(address(2)));
        assert_eq!(LinkLocal::parse(TEXT, 4), LinkLocal::Duplicate(address(3)));
        assert_eq!(LinkLocal::parse(TEXT, 5), LinkLocal::Missing);
        assert_eq!(
            LinkLocal::parse(TEXT, 6),
            LinkLocal::Missing,
            "outside fe80::/64"
        );
    }

    #[test]
    fn a_ready_address_wins_over_one_being_checked() {
        let text = TEXT.replace(" 03 ", " 02 ");
        assert_eq!(LinkLocal::parse(&text, 2), LinkLocal::Ready(address(1)));
    }

    #[test]
    fn an_address_is_found_on_its_interface() {
        assert_eq!(named(TEXT, address(2)), Some("eth1".into()));
        assert_eq!(named(TEXT, address(9)), None);
    }

    #[test]
    fn nonsense_is_skipped() {
        assert_eq!(LinkLocal::parse("fe80 02\n\n x", 2), LinkLocal::Missing);
    }
}
