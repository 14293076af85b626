//! A simulated mesh, its joins, pulses and turns; every signature made and checked once.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use nexus0_core::sim::{Plan, run};
use std::time::Duration;

fn simulator(c: &mut Criterion) {
    let mut group = c.benchmark_group("simulator/five minutes");
    group.sample_size(10);
    for nodes in [3, 10, 30] {
        let mut plan = Plan::quiet(1, vec![50; nodes]);
        plan.length = Duration::from_secs(300);
        group.bench_with_input(BenchmarkId::from_parameter(nodes), &plan, |b, plan| {
            b.iter(|| {
                let report = run(plan);
                assert!(
                    report.violations.is_empty(),
                    "a quiet mesh violates nothing"
                );
            });
        });
    }
    group.finish();
}

criterion_group!(benches, simulator);
criterion_main!(benches);
