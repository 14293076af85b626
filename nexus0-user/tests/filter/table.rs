//! The verdict table: a frame for every reason that no clock decides.

use nexus0::flood::envelope::Envelope;
use nexus0_common::packet::PAYLOAD;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::FrameType;

use crate::world::{Draft, Keys, MEMBERS, key};

/// A frame and what must be said to it.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) frame: Vec<u8>,
    pub(crate) expected: Verdict,
}

pub(crate) fn row(what: &'static str, frame: Vec<u8>, expected: Verdict) -> Row {
    Row {
        what,
        frame,
        expected,
    }
}

/// A valid pulse, changed after it was made.
pub(crate) fn spoilt(sequence: u64, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = Draft::pulse(key(1), MEMBERS[0], sequence).frame();
    change(&mut frame);
    frame
}

/// A valid pulse in a changed envelope.
fn misaddressed(sequence: u64, change: impl Fn(&mut Envelope)) -> Vec<u8> {
    let draft = Draft::pulse(key(1), MEMBERS[0], sequence);
    let mut envelope = draft.envelope();
    change(&mut envelope);
    envelope.wrap(&draft.payload())
}

pub(crate) fn shape() -> Vec<Row> {
    vec![
        row("a runt", vec![0; 14], Verdict::Foreign),
        row(
            "an ARP frame",
            spoilt(1, |f| f[12..14].copy_from_slice(&[8, 6])),
            Verdict::Foreign,
        ),
        row(
            "another port",
            misaddressed(1, |e| e.port = 5353),
            Verdict::Foreign,
        ),
        row(
            "neighbour discovery",
            spoilt(1, |f| f[20] = 58),
            Verdict::Foreign,
        ),
        row(
            "cut in the header",
            spoilt(1, |f| f.truncate(80)),
            Verdict::ShortFrame,
        ),
        row(
            "cut in the tag",
            spoilt(1, |f| f.truncate(150)),
            Verdict::ShortFrame,
        ),
        row(
            "one byte of payload",
            misaddressed(1, |_| ())[..63].to_vec(),
            Verdict::ShortFrame,
        ),
        row(
            "hop limit 254",
            misaddressed(1, |e| e.hop_limit = 254),
            Verdict::HopLimit,
        ),
        row(
            "a global source",
            misaddressed(1, |e| e.source[0] = 0x20),
            Verdict::Source,
        ),
        row(
            "a source outside the /64",
            misaddressed(1, |e| e.source[7] = 1),
            Verdict::Source,
        ),
        row(
            "a multicast source",
            misaddressed(1, |e| e.source[0] = 0xff),
            Verdict::Source,
        ),
        row(
            "another group",
            misaddressed(1, |e| e.destination[15] = 2),
            Verdict::Destination,
        ),
        row(
            "class unicast to the group",
            spoilt(1, |f| f[PAYLOAD + 3] |= 0x80),
            Verdict::Class,
        ),
        row(
            "a longer UDP length",
            misaddressed(1, |e| e.udp_length_error = 1),
            Verdict::UdpLength,
        ),
        row(
            "other magic",
            spoilt(1, |f| f[PAYLOAD] = b'n'),
            Verdict::Magic,
        ),
        row(
            "version 3",
            spoilt(1, |f| f[PAYLOAD + 2] = 3),
            Verdict::Version,
        ),
        row("type 0", spoilt(1, |f| f[PAYLOAD + 3] = 0), Verdict::Type),
        row(
            "type 127",
            spoilt(1, |f| f[PAYLOAD + 3] = 127),
            Verdict::Type,
        ),
        row(
            "a unicast type multicast",
            spoilt(1, |f| f[PAYLOAD + 3] = 7),
            Verdict::Type,
        ),
        row(
            "an ANCHOR of an ANN's length",
            spoilt(1, |f| f[PAYLOAD + 3] = 2),
            Verdict::Length,
        ),
        row(
            "an empty datagram",
            misaddressed_payload(&[]),
            Verdict::ShortFrame,
        ),
        row(
            "a 19-block frame",
            misaddressed_payload(&longest_plus_one()),
            Verdict::Length,
        ),
    ]
}

fn misaddressed_payload(payload: &[u8]) -> Vec<u8> {
    Draft::pulse(key(1), MEMBERS[0], 1).envelope().wrap(payload)
}

fn longest_plus_one() -> Vec<u8> {
    let mut draft = Draft::of(FrameType::Data, key(1), MEMBERS[0], 1);
    draft.blocks = 18;
    let mut payload = draft.payload();
    payload.extend([0; 64]);
    payload
}

pub(crate) fn ways_around() -> Vec<Row> {
    let behind = |headers: &'static [u8]| misaddressed(1, |e| e.extensions = headers.to_vec());
    let to_other_port = |headers: &'static [u8]| {
        misaddressed(1, |e| {
            e.extensions = headers.to_vec();
            e.port = 53;
        })
    };
    vec![
        row("a first fragment", behind(&[44]), Verdict::Fragment),
        row(
            "a later fragment",
            {
                let mut frame = behind(&[44]);
                frame[14 + 40 + 2] = 1;
                frame
            },
            Verdict::Foreign,
        ),
        row(
            "a fragment behind options",
            behind(&[60, 44]),
            Verdict::Fragment,
        ),
        row(
            "a first fragment that ends before its port",
            behind(&[44])[..14 + 40 + 8].to_vec(),
            Verdict::Fragment,
        ),
        row(
            "a fragment for another port",
            to_other_port(&[44]),
            Verdict::Foreign,
        ),
        row(
            "destination options",
            behind(&[60]),
            Verdict::ExtensionHeader,
        ),
        row("hop-by-hop options", behind(&[0]), Verdict::ExtensionHeader),
        row("eight headers", behind(&[60; 8]), Verdict::ExtensionHeader),
        row("nine headers", behind(&[60; 9]), Verdict::ChainTooLong),
        row(
            "options for another port",
            to_other_port(&[60]),
            Verdict::Foreign,
        ),
        row(
            "300 bytes of options",
            {
                let mut frame = behind(&[60]);
                frame[14 + 40 + 1] = 37;
                frame.resize(14 + 40 + 400, 0);
                frame[14 + 40] = 60;
                frame
            },
            Verdict::ChainTooLong,
        ),
        row(
            "hop-by-hop to ICMPv6",
            {
                let mut frame = behind(&[0]);
                frame[14 + 40] = 58;
                frame
            },
            Verdict::Foreign,
        ),
        row(
            "VLAN 5",
            misaddressed(1, |e| e.vlan = Some(5)),
            Verdict::Vlan,
        ),
        row(
            "VLAN 0",
            misaddressed(1, |e| e.vlan = Some(0)),
            Verdict::Vlan,
        ),
        row(
            "VLAN and another port",
            misaddressed(1, |e| {
                e.vlan = Some(5);
                e.port = 53;
            }),
            Verdict::Foreign,
        ),
        row(
            "VLAN and options",
            misaddressed(1, |e| {
                e.vlan = Some(5);
                e.extensions = vec![60];
            }),
            Verdict::Vlan,
        ),
    ]
}

pub(crate) fn keyed(keys: &Keys) -> Vec<Row> {
    let [first, second, _] = MEMBERS;
    let pulse = |key, sequence| Draft::pulse(key, first, sequence).frame();
    let unicast = |sequence| Draft::of(FrameType::Probe, keys.current, first, sequence);
    let door = |frame_type, sequence| Draft::of(frame_type, keys.door, [7; 8], sequence).frame();
    let moved = |change: fn(&mut Envelope)| {
        let draft = Draft::pulse(keys.current, first, 900);
        let mut envelope = draft.envelope();
        change(&mut envelope);
        envelope.wrap(&draft.payload())
    };
    vec![
        row("a pulse", pulse(keys.current, 100), Verdict::Accepted),
        row("the same again", pulse(keys.current, 100), Verdict::Replay),
        row(
            "the same, its body changed",
            {
                let mut frame = pulse(keys.current, 100);
                frame[PAYLOAD + 30] ^= 1;
                frame
            },
            Verdict::Replay,
        ),
        row(
            "a UDP checksum rewritten on the way",
            {
                let mut frame = pulse(keys.current, 98);
                frame[PAYLOAD - 2..PAYLOAD].copy_from_slice(&[0xbe, 0xef]);
                frame
            },
            Verdict::Accepted,
        ),
        row(
            "an older one that was not seen",
            pulse(keys.current, 99),
            Verdict::Accepted,
        ),
        row(
            "the same sequence, unicast",
            unicast(100).frame(),
            Verdict::Accepted,
        ),
        row(
            "the same sequence, another member",
            Draft::pulse(keys.current, second, 100).frame(),
            Verdict::Accepted,
        ),
        row(
            "the same sequence, the next key",
            pulse(keys.next, 100),
            Verdict::Accepted,
        ),
        row("a jump ahead", pulse(keys.current, 9000), Verdict::Accepted),
        row(
            "behind the window",
            pulse(keys.current, 7976),
            Verdict::Replay,
        ),
        row(
            "far behind, but its word still remembers that it is new",
            pulse(keys.current, 7268),
            Verdict::Accepted,
        ),
        row(
            "seen before the jump",
            pulse(keys.current, 100),
            Verdict::Replay,
        ),
        row(
            "the largest sequence",
            pulse(keys.current, (1 << 37) - 1),
            Verdict::Accepted,
        ),
        row(
            "a sequence too large",
            pulse(keys.current, 1 << 37),
            Verdict::Sequence,
        ),
        row("an unknown key", pulse(key(77), 101), Verdict::UnknownKey),
        row("key id zero", pulse(key(0), 101), Verdict::UnknownKey),
        row(
            "the door's key on a pulse",
            pulse(keys.door, 101),
            Verdict::UnknownKey,
        ),
        row(
            "an epoch key at the door",
            Draft::of(FrameType::ReqEpoch, keys.current, first, 1).frame(),
            Verdict::UnknownKey,
        ),
        row(
            "a key that is over",
            pulse(keys.over, 101),
            Verdict::StaleEpoch,
        ),
        row("a key not begun", pulse(keys.early, 101), Verdict::EarlyKey),
        row(
            "an unknown sender",
            Draft::pulse(keys.current, [8; 8], 101).frame(),
            Verdict::UnknownSender,
        ),
        row(
            "a changed pre-tag",
            {
                let mut frame = pulse(keys.current, 901);
                let at = frame.len() - 40;
                frame[at] ^= 1;
                frame
            },
            Verdict::PreTag,
        ),
        row(
            "a changed tag",
            {
                let mut frame = pulse(keys.current, 901);
                let at = frame.len() - 1;
                frame[at] ^= 1;
                frame
            },
            Verdict::PreTag,
        ),
        row(
            "a changed sequence",
            {
                let mut frame = pulse(keys.current, 901);
                frame[PAYLOAD + 23] ^= 1;
                frame
            },
            Verdict::PreTag,
        ),
        row(
            "from another address",
            moved(|e| e.source[15] ^= 1),
            Verdict::PreTag,
        ),
        row(
            "a changed body",
            {
                let mut frame = pulse(keys.current, 901);
                frame[PAYLOAD + 30] ^= 1;
                frame
            },
            Verdict::Tag,
        ),
        row(
            "the original after the forgery",
            pulse(keys.current, 901),
            Verdict::Accepted,
        ),
        row(
            "a signed type",
            Draft::of(FrameType::Anchor, keys.current, first, 200).frame(),
            Verdict::Accepted,
        ),
        row(
            "a signed type again: only the controller commits",
            Draft::of(FrameType::Anchor, keys.current, first, 200).frame(),
            Verdict::Accepted,
        ),
        row(
            "a request at the door",
            door(FrameType::ReqEpoch, 1),
            Verdict::Accepted,
        ),
        row(
            "the same request",
            door(FrameType::ReqEpoch, 1),
            Verdict::DoorRepeat,
        ),
        row(
            "an answer, while not joining",
            door(FrameType::Answer, 2),
            Verdict::DoorClosed,
        ),
        row(
            "a hold, while not joining",
            door(FrameType::Hold, 3),
            Verdict::DoorClosed,
        ),
        row(
            "eighteen blocks",
            {
                let mut draft = Draft::of(FrameType::Data, keys.current, first, 300);
                draft.blocks = 18;
                draft.frame()
            },
            Verdict::Accepted,
        ),
    ]
}
