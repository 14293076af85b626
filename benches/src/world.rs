//! The filter in the kernel, with members.

use anyhow::Result;
use aya::programs::XdpMode;
use nexus0::dataplane::{KernelMaps, Program, Queue};
use nexus0_common::auth::FrameKey;
use nexus0_common::maps::{Config, MAX_PEERS, Rate, flags};
use nexus0_common::reason::Verdict;
use nexus0_common::wire::PORT;
use nexus0_core::filter::Maps;

use crate::frames::{self, Genuine, OWN};

/// The filter, its maps and the mesh's key.
pub(crate) struct World {
    pub(crate) program: Program,
    maps: KernelMaps,
    pub(crate) key: FrameKey,
    pub(crate) members: u32,
}

impl World {
    /// Loads the filter over private maps, with events off and one member.
    pub(crate) fn new() -> Result<Self> {
        let mut program = Program::load(None)?;
        for helper in ["nexus0_drop", "nexus0_pass", "nexus0_forget"] {
            program.load_helper(helper)?;
        }
        Self::around(program, 1)
    }

    /// With as many members as a filter can know, none of them limited to a rate.
    pub(crate) fn crowded() -> Result<Self> {
        let mut world = Self::with_members(MAX_PEERS as u32)?;
        let mut config = world.maps.config()?;
        config.member = Rate {
            interval: 0,
            burst: 0,
        };
        world.maps.write_config(&config)?;
        Ok(world)
    }

    /// With some members at the rate that the protocol allows them.
    pub(crate) fn with_members(members: u32) -> Result<Self> {
        Self::around(Program::load(None)?, members)
    }

    fn around(mut program: Program, members: u32) -> Result<Self> {
        let mut maps = program.maps()?;
        let key = frames::key();
        let mut config = Config::new(PORT, [1, 2]);
        config.addresses[0] = OWN;
        config.address_count = 1;
        config.sample_shift = [255; 64];
        maps.write_config(&config)?;
        maps.write_key_slot(1, &key.slot(0, u64::MAX, 0))?;
        maps.write_key_id(1, key.slot_id())?;
        for member in 0..members {
            maps.clear_peer(member)?;
            maps.write_peer(frames::member(member), member)?;
        }
        Ok(Self {
            program,
            maps,
            key,
            members,
        })
    }

    /// Puts the filter on an interface of the calling thread's network namespace, for as long as this
    /// value lives.
    pub(crate) fn attach(&mut self, interface: u32, mode: XdpMode) -> Result<()> {
        self.program
            .xdp("nexus0")?
            .attach_to_if_index(interface, mode)?;
        Ok(())
    }

    /// Gives the filter the socket of its only receive queue.
    pub(crate) fn receive_by(&mut self, queue: &Queue) -> Result<()> {
        Ok(self.program.sockets()?.set(0, queue.raw_fd(), 0)?)
    }

    /// Whether accepted frames go to it.
    pub(crate) fn redirect(&mut self, on: bool) -> Result<()> {
        let mut config = self.maps.config()?;
        config.flags = if on { flags::REDIRECT } else { 0 };
        Ok(self.maps.write_config(&config)?)
    }

    /// Forgets which sequences were seen.
    pub(crate) fn forget(&mut self) -> Result<()> {
        for member in 0..self.members {
            self.maps.clear_peer(member)?;
        }
        Ok(())
    }

    /// Frames counted under a verdict, by all processors.
    pub(crate) fn count(&self, verdict: Verdict) -> Result<u64> {
        Ok(self.maps.counter(verdict as u32)?.frames)
    }

    /// The first member's pulse.
    pub(crate) fn pulse(&self, sequence: u64) -> Vec<u8> {
        Genuine::pulse(0, sequence).frame(&self.key, 1, &[])
    }
}
