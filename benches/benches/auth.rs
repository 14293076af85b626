//! Pre-tag and tag, as node and simulator compute them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nexus0_common::auth::{self, Midstates, hmac};
use nexus0_common::wire::{Class, GROUP, authenticated_len};

fn auth(c: &mut Criterion) {
    let key = Midstates::new(&[1; 32]);
    c.bench_function("auth/midstates of a key", |b| {
        b.iter(|| Midstates::new(black_box(&[1; 32])));
    });
    c.bench_function("auth/pre-tag", |b| {
        let (key, source) = ([1, 2], [3; 16]);
        b.iter(|| {
            let tag = black_box(&[4; 4]);
            auth::pre_tag(&key, &source, &GROUP, Class::Multicast, &[5; 8], 6, tag)
        });
    });
    let mut group = c.benchmark_group("auth/tag");
    for blocks in [1, 6, 18] {
        let frame = vec![7; authenticated_len(blocks)];
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_function(format!("{blocks} blocks"), |b| {
            b.iter(|| hmac::tag(&key, black_box(&frame)));
        });
    }
    group.finish();
}

criterion_group!(benches, auth);
criterion_main!(benches);
