//! What letting somebody in takes: two signatures, a key agreement and a box at the anchor; the same from the
//! other side at the joiner.

mod mesh;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use mesh::{Mesh, answer};

fn sealing(c: &mut Criterion) {
    c.bench_function("sealing/the anchor answers a joiner", |b| {
        b.iter_batched_ref(
            || {
                let mut mesh = Mesh::with(1);
                let joiner = mesh.joiner();
                (mesh, joiner)
            },
            |(mesh, (_, request))| answer(&mut mesh.anchor, mesh.now, request),
            BatchSize::SmallInput,
        );
    });
    c.bench_function("sealing/the joiner takes the answer", |b| {
        b.iter_batched_ref(
            || {
                let mut mesh = Mesh::with(1);
                let (joiner, request) = mesh.joiner();
                let answer = answer(&mut mesh.anchor, mesh.now, &request);
                (joiner, answer, mesh.now)
            },
            |(joiner, answer, now)| mesh::hand(joiner, *now, answer),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, sealing);
criterion_main!(benches);
