//! The whole judgement on the host; in the kernel it is measured by `cargo xtask bench --only program`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nexus0::flood::envelope::Envelope;
use nexus0_common::auth::FrameKey;
use nexus0_common::classify::classify;
use nexus0_common::maps::{Config, Rate};
use nexus0_common::memory::MemoryMaps;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, FrameType, Header, LOWEST_VERSION, PORT, authenticated_len};
use nexus0_core::filter::Maps;

const PEER: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0xff, 0xfe, 0, 0, 2];

/// A filter that knows one member and one key, and limits nobody.
fn filter() -> (MemoryMaps, FrameKey) {
    let key = FrameKey::new([1; 4], &[1; 32], &[1; 16]);
    let mut config = Config::new(PORT, [1, 2]);
    config.member = Rate::default();
    let mut maps = MemoryMaps::new(config);
    let mut fill = || -> Result<(), <MemoryMaps as Maps>::Error> {
        Maps::write_key_slot(&mut maps, 1, &key.slot(0, u64::MAX, 0))?;
        Maps::write_key_id(&mut maps, 1, key.slot_id())?;
        Maps::write_peer(&mut maps, [1; 8], 0)
    };
    fill().expect("memory takes it");
    (maps, key)
}

fn pulse(key: &FrameKey) -> Vec<u8> {
    let header = Header {
        version: LOWEST_VERSION,
        frame_type: FrameType::Ann,
        class: Class::Multicast,
        key_id: key.id,
        sender: [1; 8],
        sequence: 7,
    };
    let envelope = Envelope::to_group([2, 0, 0, 0, 0, 2], PEER);
    let mut payload = header.emit().to_vec();
    payload.resize(authenticated_len(1), 0);
    let trailer = key.trailer(&payload, &PEER, &envelope.destination);
    payload.extend(trailer.into_iter().flatten());
    envelope.wrap(&payload)
}

fn judgement(c: &mut Criterion) {
    let (mut maps, key) = filter();
    let genuine = pulse(&key);
    let with = |at: usize| {
        let mut frame = genuine.clone();
        frame[at] ^= 1;
        frame
    };
    let cases = [
        ("foreign", with(57), Verdict::Foreign),
        ("malformed", with(62), Verdict::Magic),
        ("unknown key", with(66), Verdict::UnknownKey),
        ("forged", with(genuine.len() - 1), Verdict::PreTag),
    ];
    for (name, frame, expected) in cases {
        assert_eq!(classify(frame.as_slice(), &maps), expected, "{name}");
        c.bench_function(&format!("classify/{name}"), |b| {
            b.iter(|| classify(black_box(frame.as_slice()), &maps));
        });
    }
    c.bench_function("classify/valid pulse", |b| {
        b.iter(|| {
            maps.clear_peer(0);
            classify(black_box(genuine.as_slice()), &maps)
        });
    });
    assert_eq!(classify(genuine.as_slice(), &maps), Verdict::Replay);
    c.bench_function("classify/replayed", |b| {
        b.iter(|| classify(black_box(genuine.as_slice()), &maps));
    });
}

criterion_group!(benches, judgement);
criterion_main!(benches);
