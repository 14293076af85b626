//! A million frames through the kernel's program and the host's `classify`, interleaved with changes of
//! the maps. `NX0_DIFFERENTIAL_FRAMES` and `NX0_DIFFERENTIAL_SEED` choose another run.

use std::collections::BTreeMap;
use std::env;

use nexus0_common::maps::{Rate, flags};
use nexus0_common::reason::Verdict;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::mutate::Mutator;
use nexus0_core::filter::Maps;

use crate::world::{Keys, MEMBERS, World, boot_time, both, key};

/// No clock decides: buckets never fill, keys are valid for an hour.
const FREE: Rate = Rate {
    interval: 0,
    burst: 1 << 60,
};

fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// Compares `frames` frames; the first disagreement is an error that names seed and frame.
fn compare(
    seed: u64,
    frames: u64,
    sabotage: impl Fn(u64, Verdict) -> Verdict,
) -> Result<BTreeMap<Verdict, u64>, String> {
    let mut world = World::new(FREE);
    let mut mutator = Mutator::new(ChaCha8Rng::seed_from_u64(seed));
    let mut met = BTreeMap::new();
    for number in 0..frames {
        if mutator.below(500) == 0 {
            change(&mut world, &mut mutator);
        }
        let keys = Keys::new();
        let frame = mutator.frame(&keys);
        let host = sabotage(number, world.host(&frame));
        let kernel = world.kernel(&frame);
        if host != kernel {
            return Err(format!(
                "seed {seed}, frame {number}: host {host:?}, kernel {kernel:?}: {frame:02x?}"
            ));
        }
        *met.entry(host).or_insert(0) += 1;
    }
    Ok(met)
}

/// Rotates, expires, forgets and remembers, on both sides.
fn change(world: &mut World, mutator: &mut Mutator) {
    let now = boot_time();
    let slot = 1 + mutator.below(3) as usize;
    let member = mutator.below(3);
    match mutator.below(6) {
        0 => both!(world, maps => Maps::clear_generation(maps, slot & 3)),
        1 => both!(world, maps => Maps::remove_peer(maps, MEMBERS[member as usize])),
        2 | 3 => {
            both!(world, maps => Maps::clear_peer(maps, member));
            both!(world, maps => Maps::write_peer(maps, MEMBERS[member as usize], member));
        }
        4 => {
            let over = key(slot as u8).slot(0, now, slot as u32 & 3);
            let live = key(slot as u8).slot(0, now + 3_600_000_000_000, slot as u32 & 3);
            let slot_value = if mutator.below(4) == 0 { over } else { live };
            both!(world, maps => Maps::write_key_slot(maps, slot, &slot_value));
        }
        _ => {
            let mut config = world.memory.config;
            config.flags ^= flags::JOINING;
            both!(world, maps => Maps::write_config(maps, &config));
        }
    }
}

#[test]
fn a_million_frames_get_the_same_verdict_from_host_and_kernel() {
    let seed = setting("NX0_DIFFERENTIAL_SEED", 0x6e30);
    let frames = setting("NX0_DIFFERENTIAL_FRAMES", 1_000_000);
    let met = compare(seed, frames, |_, verdict| verdict).unwrap();
    println!("{frames} frames from seed {seed}: {met:?}");
    // A green run means nothing unless the deep checks were reached.
    for verdict in [
        Verdict::Accepted,
        Verdict::Foreign,
        Verdict::PreTag,
        Verdict::Replay,
        Verdict::Tag,
        Verdict::UnknownSender,
        Verdict::StaleEpoch,
        Verdict::EarlyKey,
        Verdict::DoorClosed,
        Verdict::DoorRepeat,
        Verdict::Fragment,
        Verdict::ExtensionHeader,
        Verdict::Vlan,
    ] {
        assert!(
            met.get(&verdict)
                .is_some_and(|count| count * 5000 > frames.min(100_000) / 20),
            "{verdict:?} was hardly met: {met:?}"
        );
    }
}

#[test]
fn a_host_that_lies_about_one_frame_is_caught() {
    let lie = |number, verdict| {
        if number == 777 {
            Verdict::Internal
        } else {
            verdict
        }
    };
    let caught = compare(1, 2000, lie).unwrap_err();
    assert!(caught.contains("frame 777"), "{caught}");
}
