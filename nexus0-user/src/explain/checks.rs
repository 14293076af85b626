//! The checks of the judgement in their order: a name, the verdicts each can give, what it looked at.

use std::net::Ipv6Addr;

use nexus0_common::packet::{ETHERNET, HEAD, IPV6, PAYLOAD, UDP};
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{FrameType, Header, Slot, UNICAST_BIT};

use crate::hex;

/// What a check needs besides the frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// The keys.
    Keys,
    /// The keys, for frames of members.
    Member,
    /// The keys, for frames at the door.
    Door,
}

/// One check.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) needs: Needs,
    pub(super) refusals: &'static [Verdict],
    pub(super) found: fn(&Sight) -> String,
}

impl Check {
    /// Whether frames of this type meet the check.
    pub(super) fn concerns(&self, sight: &Sight) -> bool {
        match self.needs {
            Needs::Nothing | Needs::Keys => true,
            Needs::Member => !sight.at_door(),
            Needs::Door => sight.at_door(),
        }
    }

    /// Whether the verdict was given here.
    pub(super) fn decides(&self, sight: &Sight, verdict: Verdict) -> bool {
        // Short frames are met twice: before the header is complete, and at the trailer.
        let here = verdict != Verdict::ShortFrame
            || (sight.frame.len() < HEAD) == self.refusals.contains(&Verdict::Foreign);
        here && self.refusals.contains(&verdict)
    }
}

const fn check(
    name: &'static str,
    needs: Needs,
    refusals: &'static [Verdict],
    found: fn(&Sight) -> String,
) -> Check {
    Check {
        name,
        needs,
        refusals,
        found,
    }
}

/// All checks, in the order of `classify`.
#[rustfmt::skip]
pub(super) const CHECKS: &[Check] = &[
    check("carrier", Needs::Nothing, CARRIER, Sight::carrier),
    check("hop limit", Needs::Nothing, &[Verdict::HopLimit], Sight::hop_limit),
    check("source", Needs::Nothing, &[Verdict::Source], |s| address(s.source())),
    check("destination", Needs::Nothing, &[Verdict::Destination], |s| address(s.destination())),
    check("class", Needs::Nothing, &[Verdict::Class], Sight::class),
    check("lengths", Needs::Nothing, &[Verdict::UdpLength], Sight::lengths),
    check("magic", Needs::Nothing, &[Verdict::Magic], |s| s.hex(PAYLOAD, 2)),
    check("version", Needs::Nothing, &[Verdict::Version], |s| s.number(PAYLOAD + 2)),
    check("type", Needs::Nothing, &[Verdict::Type], Sight::type_name),
    check("length", Needs::Nothing, &[Verdict::Length], Sight::payload_length),
    check("whole", Needs::Nothing, &[Verdict::ShortFrame], Sight::length),
    check("key", Needs::Keys, &[Verdict::UnknownKey, Verdict::Internal], Sight::key),
    check("pre-tag", Needs::Keys, &[Verdict::PreTag], Sight::pre_tag),
    check("key validity", Needs::Keys, &[Verdict::EarlyKey, Verdict::StaleEpoch], Sight::key),
    check("door open", Needs::Door, &[Verdict::DoorClosed], Sight::type_name),
    check("tag not seen", Needs::Door, &[Verdict::DoorRepeat], |_| "tags seen in the last seconds".into()),
    check("sender", Needs::Member, &[Verdict::UnknownSender], |s| s.hex(PAYLOAD + 8, 8)),
    check("sequence", Needs::Member, &[Verdict::Sequence], Sight::sequence),
    check("replay window", Needs::Member, &[Verdict::Replay], Sight::sequence),
    check("rate", Needs::Member, &[Verdict::Rate], |_| "the sender's rate".into()),
    check("tag", Needs::Keys, &[Verdict::Tag], |_| "HMAC-SHA256".into()),
    check("commit", Needs::Member, &[Verdict::Contention], |_| "window and rate".into()),
    check("source rate", Needs::Door, &[Verdict::DoorSource], |s| address(s.source())),
    check("door rate", Needs::Door, &[Verdict::DoorRate, Verdict::DoorBound], |_| "all in its half".into()),
];

const CARRIER: &[Verdict] = &[
    Verdict::Foreign,
    Verdict::ShortFrame,
    Verdict::Fragment,
    Verdict::ExtensionHeader,
    Verdict::ChainTooLong,
    Verdict::Vlan,
];

/// What can be seen in a frame without judging it.
pub(super) struct Sight {
    frame: Vec<u8>,
}

impl Sight {
    pub(super) fn of(frame: &[u8]) -> Self {
        Self {
            frame: frame.to_owned(),
        }
    }

    pub(super) fn source(&self) -> Option<[u8; 16]> {
        self.array(ETHERNET + 8)
    }

    pub(super) fn destination(&self) -> Option<[u8; 16]> {
        self.array(ETHERNET + 24)
    }

    fn header(&self) -> Option<Header> {
        Header::parse(self.frame.get(PAYLOAD..)?)
    }

    fn at_door(&self) -> bool {
        self.header()
            .is_some_and(|header| header.frame_type.slot() == Slot::Door)
    }

    fn carrier(&self) -> String {
        let [Some(high), Some(low)] = [self.byte(12), self.byte(13)] else {
            return "no Ethernet header".into();
        };
        if (high, low) != (0x86, 0xdd) {
            return format!("EtherType {high:02x}{low:02x}");
        }
        let Some(17) = self.byte(ETHERNET + 6) else {
            return format!("IPv6, next header {}", self.number(ETHERNET + 6));
        };
        match self.be16(ETHERNET + IPV6 + 2) {
            Some(port) => format!("plain IPv6, UDP, port {port}"),
            None => "IPv6 and UDP, cut before the port".into(),
        }
    }

    fn hop_limit(&self) -> String {
        self.number(ETHERNET + 7)
    }

    fn class(&self) -> String {
        match self.byte(PAYLOAD + 3) {
            Some(kind) if kind & UNICAST_BIT == 0 => "the type says multicast".into(),
            Some(_) => "the type says unicast".into(),
            None => "nothing".into(),
        }
    }

    fn lengths(&self) -> String {
        let [ipv6, udp] = [self.be16(ETHERNET + 4), self.be16(ETHERNET + IPV6 + 4)]
            .map(|length| length.map_or("nothing".into(), |length| length.to_string()));
        format!("IPv6 payload {ipv6}, UDP {udp}")
    }

    fn type_name(&self) -> String {
        let Some(kind) = self.byte(PAYLOAD + 3) else {
            return "nothing".into();
        };
        let number = kind & !UNICAST_BIT;
        let name = FrameType::from_number(number).map_or("unknown", FrameType::name);
        format!("{name} ({number})")
    }

    fn payload_length(&self) -> String {
        let payload = self
            .be16(ETHERNET + IPV6 + 4)
            .map(|udp| udp.saturating_sub(UDP as u16));
        payload.map_or("nothing".into(), |length| {
            format!("{length} bytes of payload")
        })
    }

    fn length(&self) -> String {
        format!("{} bytes in all", self.frame.len())
    }

    fn key(&self) -> String {
        format!("key id {}", self.hex(PAYLOAD + 4, 4))
    }

    fn pre_tag(&self) -> String {
        let udp = self.be16(ETHERNET + IPV6 + 4).map_or(0, usize::from);
        self.hex((ETHERNET + IPV6 + udp).saturating_sub(40), 8)
    }

    fn sequence(&self) -> String {
        self.header()
            .map_or("nothing".into(), |header| header.sequence.to_string())
    }

    fn number(&self, at: usize) -> String {
        self.byte(at)
            .map_or("nothing".into(), |byte| byte.to_string())
    }

    fn hex(&self, at: usize, length: usize) -> String {
        self.frame
            .get(at..at + length)
            .map_or("nothing".into(), hex::encode)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.frame.get(at).copied()
    }

    fn be16(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.frame.get(at..)?.first_chunk().copied()
    }
}

fn address(bytes: Option<[u8; 16]>) -> String {
    bytes.map_or("nothing".into(), |bytes| Ipv6Addr::from(bytes).to_string())
}
