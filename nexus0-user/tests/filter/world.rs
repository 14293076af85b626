//! A filter in the kernel and one in memory, told the same and asked the same.

use nexus0::dataplane::{Events, KernelMaps, Program, Verifier};
use nexus0::flood::envelope::Envelope;
use nexus0_common::auth::FrameKey;
use nexus0_common::classify::classify;
use nexus0_common::maps::{Config, Own, Rate};
use nexus0_common::memory::MemoryMaps;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, FrameType, GROUP, HEADER_LEN, Header, PORT, authenticated_len};
use nexus0_core::filter::Maps;

pub(crate) const OWN: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 0, 1];
pub(crate) const PEER: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 0, 2];
pub(crate) const MEMBERS: [[u8; 8]; 3] = [[1; 8], [2; 8], [3; 8]];
const XDP_PASS: u32 = 2;

/// Fills of a body that make it bound, in frames whose receiver is the world.
pub(crate) const NONCE: u8 = 0xd1;
pub(crate) const PREVIOUS: u8 = 0xd2;
pub(crate) const REQUEST: u8 = 0xe1;
const OWN_WORDS: Own = Own {
    nonces: [
        u32::from_ne_bytes([NONCE; 4]),
        u32::from_ne_bytes([PREVIOUS; 4]),
    ],
    request: u64::from_ne_bytes([REQUEST; 8]),
};

/// The keys of the world: the door's, two live epochs, one over, one not begun.
pub(crate) struct Keys {
    pub(crate) door: FrameKey,
    pub(crate) current: FrameKey,
    pub(crate) next: FrameKey,
    pub(crate) over: FrameKey,
    pub(crate) early: FrameKey,
}

pub(crate) fn key(number: u8) -> FrameKey {
    FrameKey::new([number; 4], &[number; 32], &[number; 16])
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self {
            door: key(9),
            current: key(1),
            next: key(2),
            over: key(3),
            early: key(4),
        }
    }
}

/// Does the same to both sides: `both!(world, maps => Maps::clear_peer(maps, 1))`.
macro_rules! both {
    ($world:expr, $maps:ident => $change:expr) => {{
        let $maps = &mut $world.memory;
        $change.expect("memory takes it");
        let $maps = &mut $world.kernel;
        $change.expect("the kernel takes it");
    }};
}
pub(crate) use both;

/// Both filters.
pub(crate) struct World {
    pub(crate) memory: MemoryMaps,
    pub(crate) kernel: KernelMaps,
    pub(crate) program: Program,
    events: Events,
    accepted: u64,
}

impl World {
    /// Loads the program over private maps and fills both sides alike.
    pub(crate) fn new(rate: Rate) -> Self {
        Self::with(rate, &[])
    }

    /// The same with other programs of the object.
    pub(crate) fn with(rate: Rate, helpers: &[&str]) -> Self {
        let mut program = Program::load(None).expect("the filter loads as root");
        for helper in helpers {
            program.load_helper(helper).expect("it loads");
        }
        assert_eq!(program.verifier(), Verifier::Fast);
        let kernel = program.maps().expect("its maps open");
        let events = program.events().expect("its events open");
        let mut config = Config::new(PORT, [11, 12]);
        config.addresses[0] = OWN;
        config.address_count = 1;
        config.sample_shift = [0; 64];
        config.own = OWN_WORDS;
        (config.member, config.source, config.door) = (rate, rate, rate);
        let mut world = Self {
            memory: MemoryMaps::new(config),
            kernel,
            program,
            events,
            accepted: 0,
        };
        world.memory.now = boot_time();
        let (from, to) = (
            world.memory.now - 1_000_000_000,
            world.memory.now + 3_600_000_000_000,
        );
        for (slot, key, from, to) in [
            (0, key(9), 0, u64::MAX),
            (1, key(1), from, to),
            (2, key(2), from, to),
            (3, key(3), 0, from),
            (4, key(4), to, u64::MAX),
        ] {
            both!(world, maps => Maps::write_key_slot(maps, slot, &key.slot(from, to, slot as u32 & 3)));
            both!(world, maps => Maps::write_key_id(maps, slot, key.slot_id()));
        }
        for (slot, member) in MEMBERS.into_iter().enumerate() {
            both!(world, maps => Maps::write_peer(maps, member, slot as u32));
            both!(world, maps => Maps::clear_peer(maps, slot as u32));
        }
        both!(world, maps => Maps::write_config(maps, &config));
        world
    }

    /// What the host says to a frame.
    pub(crate) fn host(&mut self, frame: &[u8]) -> Verdict {
        self.memory.now = boot_time();
        classify(frame, &self.memory)
    }

    /// What the kernel says to a frame.
    pub(crate) fn kernel(&mut self, frame: &[u8]) -> Verdict {
        let (program, events) = (&mut self.program, &mut self.events);
        kernel_verdict(program, events, &self.kernel, &mut self.accepted, frame)
    }
}

/// What the program says to a frame. A pass is told apart by the counter of accepted frames, last seen at
/// `accepted`.
pub(crate) fn kernel_verdict(
    program: &mut Program,
    events: &mut Events,
    maps: &KernelMaps,
    accepted: &mut u64,
    frame: &[u8],
) -> Verdict {
    let (action, _) = program.test_run("nexus0", frame, 1).expect("a test run");
    let refusals = events.ready();
    if action != XDP_PASS {
        let [refusal] = refusals.as_slice() else {
            panic!("{} events", refusals.len())
        };
        return refusal.verdict;
    }
    assert!(refusals.is_empty(), "an event for a frame that passed");
    let counter = maps.counter(Verdict::Accepted as u32).expect("a counter");
    let before = std::mem::replace(accepted, counter.frames);
    if *accepted > before {
        Verdict::Accepted
    } else {
        Verdict::Foreign
    }
}

/// CLOCK_BOOTTIME in nanoseconds.
pub(crate) fn boot_time() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).expect("a boot clock");
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// A frame and where it travels.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) key: FrameKey,
    pub(crate) frame_type: FrameType,
    pub(crate) class: Class,
    pub(crate) sender: [u8; 8],
    pub(crate) sequence: u64,
    pub(crate) blocks: usize,
    pub(crate) fill: u8,
}

impl Draft {
    /// A pulse of a member.
    pub(crate) fn pulse(key: FrameKey, sender: [u8; 8], sequence: u64) -> Self {
        Self {
            frame_type: FrameType::Ann,
            ..Self::of(FrameType::Ann, key, sender, sequence)
        }
    }

    /// A frame of a type in its class and length (multicast and one block where it is free).
    pub(crate) fn of(frame_type: FrameType, key: FrameKey, sender: [u8; 8], sequence: u64) -> Self {
        Self {
            key,
            frame_type,
            class: frame_type.class().unwrap_or(Class::Multicast),
            sender,
            sequence,
            blocks: frame_type.blocks().unwrap_or(2),
            fill: 0,
        }
    }

    pub(crate) fn destination(&self) -> [u8; 16] {
        match self.class {
            Class::Multicast => GROUP,
            Class::Unicast => OWN,
        }
    }

    /// The whole frame, from an address that ends in another byte.
    pub(crate) fn frame_from(&self, last: u8) -> Vec<u8> {
        let mut envelope = self.envelope();
        envelope.source[15] = last;
        envelope.wrap(&self.payload_from(&envelope.source))
    }

    /// The UDP payload.
    pub(crate) fn payload(&self) -> Vec<u8> {
        self.payload_from(&PEER)
    }

    fn payload_from(&self, source: &[u8; 16]) -> Vec<u8> {
        let header = Header {
            version: nexus0_common::wire::LOWEST_VERSION,
            frame_type: self.frame_type,
            class: self.class,
            key_id: self.key.id,
            sender: self.sender,
            sequence: self.sequence,
        };
        let mut bytes = header.emit().to_vec();
        bytes.resize(authenticated_len(self.blocks).max(HEADER_LEN), self.fill);
        let trailer = self.key.trailer(&bytes, source, &self.destination());
        bytes.extend(trailer.expect("a draft is well-formed"));
        bytes
    }

    /// What it travels in.
    pub(crate) fn envelope(&self) -> Envelope {
        let mut envelope = Envelope::to_group([2, 0, 0, 0, 0, 2], PEER);
        if self.class == Class::Unicast {
            envelope.destination = OWN;
            envelope.destination_mac = [2, 0, 0, 0, 0, 1];
        }
        envelope
    }

    /// The whole Ethernet frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        self.envelope().wrap(&self.payload())
    }
}
