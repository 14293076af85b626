//! Who leads and who is next, among as many as are members.

mod mesh;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mesh::Mesh;

fn election(c: &mut Criterion) {
    let mut group = c.benchmark_group("election/the order of members, shown");
    for members in [10, 100, 400] {
        let mesh = Mesh::with(members);
        let view = mesh.anchor.view(mesh.now);
        assert_eq!(view.why.ranking.len(), members, "all are in it");
        group.bench_with_input(BenchmarkId::from_parameter(members), &mesh, |b, mesh| {
            b.iter(|| mesh.anchor.view(mesh.now).why.ranking.len());
        });
    }
    group.finish();
}

criterion_group!(benches, election);
criterion_main!(benches);
