//! The verdict table: one frame for every reason, judged by host and kernel alike.

use nexus0::flood::envelope::Envelope;
use nexus0_common::maps::{Rate, flags};
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, FrameType};

use crate::world::{Draft, Keys, MEMBERS, World, key};

const FREE: Rate = Rate {
    interval: 0,
    burst: 1 << 60,
};
const PAYLOAD: usize = 62;

struct Row {
    what: &'static str,
    frame: Vec<u8>,
    expected: Verdict,
}

fn row(what: &'static str, frame: Vec<u8>, expected: Verdict) -> Row {
    Row {
        what,
        frame,
        expected,
    }
}

/// A valid pulse, changed after it was made.
fn spoilt(sequence: u64, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
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

fn shape() -> Vec<Row> {
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
            "version 2",
            spoilt(1, |f| f[PAYLOAD + 2] = 2),
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

fn ways_around() -> Vec<Row> {
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

fn keyed(keys: &Keys) -> Vec<Row> {
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

fn judge(world: &mut World, rows: Vec<Row>) -> Vec<Verdict> {
    let mut wrong = Vec::new();
    let mut met = Vec::new();
    for Row {
        what,
        frame,
        expected,
    } in rows
    {
        let (host, kernel) = (world.host(&frame), world.kernel(&frame));
        if (host, kernel) != (expected, expected) {
            wrong.push(format!(
                "{what}: expected {expected:?}, host {host:?}, kernel {kernel:?}"
            ));
        }
        met.push(expected);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    met
}

#[test]
fn every_reason_is_given_by_host_and_kernel_alike() {
    let mut world = World::new(FREE);
    let mut rows = shape();
    rows.extend(ways_around());
    rows.extend(keyed(&Keys::new()));
    let mut met = judge(&mut world, rows);
    met.extend(rates());
    // Contention takes two processors, and no test can make a map unreadable.
    let out_of_reach = [Verdict::Contention, Verdict::Internal];
    for verdict in Verdict::ALL {
        assert!(
            met.contains(verdict) || out_of_reach.contains(verdict),
            "no frame for {verdict:?}"
        );
    }
}

/// Rates, with buckets that let one frame through.
fn rates() -> Vec<Verdict> {
    let mut world = World::new(Rate {
        interval: 1 << 60,
        burst: 0,
    });
    let pulse = |sequence| Draft::pulse(key(1), MEMBERS[0], sequence).frame();
    let request = |sequence| Draft::of(FrameType::ReqEpoch, key(9), [7; 8], sequence);
    let mut from_elsewhere = request(3).envelope();
    from_elsewhere.source[15] = 9;
    let mut draft = request(3);
    draft.fill = 1;
    let payload = {
        let mut bytes = draft.payload();
        let length = bytes.len() - 40;
        bytes.truncate(length);
        let trailer = key(9).trailer(&bytes, &from_elsewhere.source, &draft.destination());
        bytes.extend(trailer.expect("well-formed"));
        bytes
    };
    judge(
        &mut world,
        vec![
            row("a pulse", pulse(1), Verdict::Accepted),
            row("a pulse too many", pulse(2), Verdict::Rate),
            row("a stranger", request(1).frame(), Verdict::Accepted),
            row("the same stranger", request(2).frame(), Verdict::DoorSource),
            row(
                "another stranger",
                from_elsewhere.wrap(&payload),
                Verdict::DoorRate,
            ),
        ],
    )
}

#[test]
fn an_answer_passes_while_joining() {
    let mut world = World::new(FREE);
    let mut config = world.memory.config;
    config.flags |= flags::JOINING;
    world.both(|maps| maps.write_config(&config));
    let answer = Draft::of(FrameType::Answer, key(9), [7; 8], 1).frame();
    judge(
        &mut world,
        vec![row("an answer", answer, Verdict::Accepted)],
    );
}

#[test]
fn a_signed_frame_is_a_replay_once_the_controller_committed_it() {
    let mut world = World::new(FREE);
    let frame = || Draft::of(FrameType::Anchor, key(1), MEMBERS[0], 5).frame();
    judge(&mut world, vec![row("before", frame(), Verdict::Accepted)]);
    world.both(|maps| maps.write_signed_word(0, 1, 0, 1 << 5));
    judge(&mut world, vec![row("after", frame(), Verdict::Replay)]);
}

#[test]
fn observing_counts_and_passes() {
    let mut world = World::new(FREE);
    let mut config = world.memory.config;
    config.flags |= flags::OBSERVE;
    world.both(|maps| maps.write_config(&config));
    let frame = spoilt(1, |f| f[PAYLOAD + 2] = 2);
    let (action, _) = world.program.test_run("nexus0", &frame, 1).unwrap();
    assert_eq!(action, 2, "passed");
    assert_eq!(
        world
            .kernel
            .counter(Verdict::Version as u32)
            .unwrap()
            .frames,
        1,
        "and counted"
    );
}

#[test]
fn a_steady_pulse_costs_exactly_two_compressions() {
    let mut world = World::new(FREE);
    let spent = |world: &mut World, frame: Vec<u8>| {
        let before = world.memory.compressions();
        assert_eq!(world.host(&frame), Verdict::Accepted);
        world.memory.compressions() - before
    };
    assert_eq!(
        spent(&mut world, Draft::pulse(key(1), MEMBERS[0], 1).frame()),
        2
    );
    let signed = Draft::of(FrameType::Anchor, key(1), MEMBERS[0], 2).frame();
    assert_eq!(
        spent(&mut world, signed),
        3,
        "an anchor's has two blocks: the count does count"
    );
}

#[test]
fn a_frame_is_counted_once_with_its_bytes() {
    let mut world = World::new(FREE);
    let frame = Draft::of(FrameType::Data, key(1), MEMBERS[0], 1).frame();
    assert_eq!(world.kernel(&frame), Verdict::Accepted);
    assert_eq!(world.kernel(&frame), Verdict::Replay);
    assert_eq!(world.kernel(&frame), Verdict::Replay);
    for (verdict, counter) in world.kernel.counters().unwrap() {
        let expected = match verdict {
            Verdict::Accepted => 1,
            Verdict::Replay => 2,
            _ => 0,
        };
        assert_eq!(counter.frames, expected, "{verdict:?}");
        assert_eq!(counter.bytes, expected * frame.len() as u64, "{verdict:?}");
    }
}

#[test]
fn unicast_to_another_of_our_addresses_is_judged_as_unicast() {
    let mut world = World::new(FREE);
    let draft = Draft::of(FrameType::Probe, key(1), MEMBERS[0], 1);
    assert_eq!(draft.class, Class::Unicast);
    let mut envelope = draft.envelope();
    envelope.destination[15] = 0x55;
    let elsewhere = envelope.wrap(&draft.payload());
    judge(
        &mut world,
        vec![
            row(
                "an address that is not ours",
                elsewhere,
                Verdict::Destination,
            ),
            row("ours", draft.frame(), Verdict::Accepted),
        ],
    );
}
