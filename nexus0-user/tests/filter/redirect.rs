//! Which frames go past the network stack, as the kernel's answer to each shows.

use nexus0::dataplane::Queue;
use nexus0_common::maps::flags;
use nexus0_common::wire::HEADER_LEN;
use nexus0_core::filter::Maps;

use crate::world::{Draft, MEMBERS, World, key};

const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;
const XDP_REDIRECT: u32 = 4;
/// Of this network namespace: no filter is on it, so nothing comes by the socket.
const LOOPBACK: &str = "lo";

struct Offered {
    world: World,
    sequence: u64,
}

impl Offered {
    fn with(mut self, flags: u8) -> Self {
        let mut config = self.world.kernel.config().unwrap();
        config.flags = flags;
        self.world.kernel.write_config(&config).unwrap();
        self
    }

    fn answer(&mut self, change: impl FnOnce(&mut Vec<u8>)) -> u32 {
        self.sequence += 1;
        let mut frame = Draft::pulse(key(1), MEMBERS[0], self.sequence).frame();
        change(&mut frame);
        self.world.program.test_run("nexus0", &frame, 1).unwrap().0
    }

    /// The answers to a valid, a forged and a foreign frame.
    fn answers(&mut self) -> [u32; 3] {
        [
            self.answer(|_| {}),
            self.answer(|frame| frame[62 + HEADER_LEN] ^= 1),
            self.answer(|frame| frame[57] ^= 1),
        ]
    }
}

#[test]
fn only_accepted_frames_are_redirected_and_only_to_a_socket_that_is_there() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let mut offered = Offered {
        world: World::new(nexus0_common::maps::Rate::default()),
        sequence: 0,
    };
    let mut sockets = offered.world.program.sockets().unwrap();
    let refusing = [XDP_PASS, XDP_DROP, XDP_PASS];
    assert_eq!(offered.answers(), refusing, "not asked to redirect");
    offered = offered.with(flags::REDIRECT);
    assert_eq!(offered.answers(), refusing, "no socket");

    let index = nix::net::if_::if_nametoindex(LOOPBACK).unwrap();
    let queue = Queue::open(index, 0, false).unwrap();
    sockets.set(0, queue.raw_fd(), 0).unwrap();
    assert_eq!(offered.answers(), [XDP_REDIRECT, XDP_DROP, XDP_PASS]);
    offered = offered.with(flags::REDIRECT | flags::OBSERVE);
    assert_eq!(
        offered.answers(),
        [XDP_REDIRECT, XDP_PASS, XDP_PASS],
        "observing"
    );
    offered = offered.with(0);
    assert_eq!(offered.answers(), refusing, "not asked any more");

    offered = offered.with(flags::REDIRECT);
    drop(queue);
    assert_eq!(
        offered.answers(),
        refusing,
        "a closed socket is out of the map"
    );
}
