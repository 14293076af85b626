//! One filter in the kernel with one member, and the frames that are offered to it.

use anyhow::Result;
use nexus0::dataplane::{KernelMaps, Program};
use nexus0::flood::envelope::Envelope;
use nexus0_common::auth::FrameKey;
use nexus0_common::maps::Config;
use nexus0_common::wire::{Class, FrameType, Header, PORT, authenticated_len};
use nexus0_core::filter::Maps;

const OWN: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 0, 1];
const PEER: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 0, 2];
const MEMBER: [u8; 8] = [1; 8];
/// Where the mesh frame begins.
pub(crate) const PAYLOAD: usize = 62;

/// The filter and its only member's key.
pub(crate) struct World {
    pub(crate) program: Program,
    // Keeps the maps open and mapped.
    _maps: KernelMaps,
    key: FrameKey,
}

impl World {
    /// Loads the filter over private maps, with events off.
    pub(crate) fn new() -> Result<Self> {
        let mut program = Program::load(None)?;
        for helper in ["nexus0_drop", "nexus0_pass", "nexus0_forget"] {
            program.load_helper(helper)?;
        }
        let mut maps = program.maps()?;
        let key = FrameKey::new([1; 4], &[1; 32], &[1; 16]);
        let mut config = Config::new(PORT, [1, 2]);
        config.addresses[0] = OWN;
        config.address_count = 1;
        config.sample_shift = [255; 64];
        maps.write_config(&config)?;
        maps.write_key_slot(1, &key.slot(0, u64::MAX, 0))?;
        maps.write_key_id(1, key.slot_id())?;
        maps.clear_peer(0)?;
        maps.write_peer(MEMBER, 0)?;
        Ok(Self {
            program,
            _maps: maps,
            key,
        })
    }

    /// A member's pulse: 95 bytes of payload, 157 on the wire.
    pub(crate) fn pulse(&self, sequence: u64) -> Vec<u8> {
        let header = Header {
            version: nexus0_common::wire::LOWEST_VERSION,
            frame_type: FrameType::Ann,
            class: Class::Multicast,
            key_id: self.key.id,
            sender: MEMBER,
            sequence,
        };
        let envelope = Envelope::to_group([2, 0, 0, 0, 0, 2], PEER);
        let mut payload = header.emit().to_vec();
        payload.resize(authenticated_len(1), 0);
        let trailer = self.key.trailer(&payload, &PEER, &envelope.destination);
        payload.extend(trailer.into_iter().flatten());
        envelope.wrap(&payload)
    }
}
