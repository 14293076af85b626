//! Headers and bodies, to bytes and back.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use nexus0_common::wire::cursor::Writer;
use nexus0_common::wire::{Ann, Body, Class, FrameType, Header, LOWEST_VERSION, Pulse};

fn wire(c: &mut Criterion) {
    let header = Header {
        version: LOWEST_VERSION,
        frame_type: FrameType::Ann,
        class: Class::Multicast,
        key_id: [1; 4],
        sender: [2; 8],
        sequence: 3,
    };
    let bytes = header.emit();
    c.bench_function("wire/header to bytes", |b| {
        b.iter(|| black_box(&header).emit());
    });
    c.bench_function("wire/header from bytes", |b| {
        b.iter(|| Header::parse(black_box(&bytes)));
    });
    let mut body = [0; 31];
    let pulse = Ann(Pulse::parse(&body).expect("zeroes are a pulse"));
    c.bench_function("wire/pulse to bytes", |b| {
        b.iter(|| black_box(&pulse).emit(&mut Writer::new(&mut body)));
    });
    c.bench_function("wire/pulse from bytes", |b| {
        b.iter(|| Pulse::parse(black_box(&body)));
    });
}

criterion_group!(benches, wire);
criterion_main!(benches);
