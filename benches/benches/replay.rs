//! The window of sequences seen.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nexus0_common::replay::{position, seen_up_to};

fn replay(c: &mut Criterion) {
    c.bench_function("replay/a fresh sequence", |b| {
        b.iter(|| position(black_box(70_000)).and_then(|at| at.mark(black_box(0))));
    });
    c.bench_function("replay/a sequence seen", |b| {
        let at = position(70_000).expect("below the end");
        let seen = at.mark(0).expect("fresh");
        b.iter(|| position(black_box(70_000)).and_then(|at| at.mark(black_box(seen))));
    });
    c.bench_function("replay/a window for a newcomer", |b| {
        b.iter(|| seen_up_to(black_box(70_000)));
    });
}

criterion_group!(benches, replay);
criterion_main!(benches);
