//! Verified application datagrams a second into one thread, by the UDP socket and by AF_XDP.

use std::fmt::Write;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use aya::programs::XdpMode;
use nexus0::dataplane::{Delivery, Queue};
use nexus0::flood::{Generator, Pace, Templates};
use nexus0::lab::load::last_processor;
use nexus0::lab::pair::{Pair, Receive};
use nexus0::lab::process::pin_to;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, FrameType};
use serde::Serialize;

use crate::frames::{self, Genuine};
use crate::verifier;
use crate::world::World;

/// Members who send, and sequences of each in a batch: as many as a window holds.
const SENDERS: u32 = 32;
const SEQUENCES: u64 = 1024;
const BATCHES: usize = 12;
/// What the controller asks for its UDP socket; a queue's memory is as large.
const BUFFER: usize = 4 << 20;
/// After the last frame was sent.
const REST: Duration = Duration::from_millis(30);
/// One way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// socket, or af-xdp and how.
    pub(crate) path: String,
    /// Frames in all batches.
    pub(crate) offered: u64,
    /// Of them delivered.
    pub(crate) delivered: u64,
    /// Datagrams a second from the first to the last of a batch, in the best one.
    pub(crate) per_second: f64,
}

/// Where datagrams are taken from.
enum Source {
    Socket(UdpSocket),
    Queue(Box<Queue>),
}

/// What a thread took.
#[derive(Clone, Copy, Default)]
struct Taken {
    count: u64,
    seconds: f64,
}

/// Both ways over one filter, batch by batch in turn.
pub(crate) fn measure(quick: bool) -> Result<Vec<Row>> {
    let pair = Pair::build(1, Receive::Driver)?;
    let generator = pair.generator()?;
    let mut world = World::crowded()?;
    let index = pair.index()?;
    pair.own.within(|| world.attach(index, XdpMode::Driver))??;
    let socket = pair.own.within(|| verifier::socket(Some(BUFFER)))??;
    let queue = pair.own.within(|| Queue::open(index, 0, true))??;
    let by_queue = format!("af-xdp, {}", queue.delivery().name());
    ensure!(
        queue.delivery() == Delivery::Copy,
        "a veth has no zero-copy"
    );
    world.receive_by(&queue)?;
    let mut sources = [
        ("socket".to_owned(), Source::Socket(socket)),
        (by_queue, Source::Queue(Box::new(queue))),
    ];
    let flood = datagrams();
    let batches = if quick { 2 } else { BATCHES };
    let mut found = [(Taken::default(), 0.0_f64); 2];
    for _ in 0..batches {
        for ((_, source), (sum, best)) in sources.iter_mut().zip(&mut found) {
            world.redirect(matches!(source, Source::Queue(_)))?;
            let taken = batch(&pair, &generator, &mut world, source, &flood)?;
            sum.count += taken.count;
            *best = best.max(taken.count as f64 / taken.seconds);
        }
    }
    let rows = sources.into_iter().zip(found);
    let rows = rows.map(|((path, _), (sum, per_second))| Row {
        path,
        offered: (batches * flood.len()) as u64,
        delivered: sum.count,
        per_second,
    });
    Ok(rows.collect())
}

fn datagrams() -> Vec<Vec<u8>> {
    let key = frames::key();
    let data = |member, sequence| Genuine {
        frame_type: FrameType::Data,
        class: Class::Unicast,
        member,
        sequence,
    };
    (0..SEQUENCES)
        .flat_map(|sequence| (0..SENDERS).map(move |member| data(member, sequence)))
        .map(|genuine| genuine.frame(&key, 1, &[]))
        .collect()
}

/// Sends every frame once, from and into the last processor, while a thread on the first takes what arrives.
fn batch(
    pair: &Pair,
    generator: &Generator,
    world: &mut World,
    source: &mut Source,
    flood: &[Vec<u8>],
) -> Result<Taken> {
    world.forget()?;
    let before = world.count(Verdict::Accepted)?;
    let stop = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let taker = scope.spawn(|| take(source, &stop));
        let sent = pair.attacker.within(|| {
            pin_to(last_processor())?;
            let templates = Templates::load(flood, Pace::Flat, u64::MAX)?;
            generator.send_from(&templates, flood.len() as u32)
        });
        thread::sleep(REST);
        stop.store(true, Ordering::Relaxed);
        let taken = taker.join().map_err(|_| anyhow!("the reader panicked"));
        sent??;
        taken
    })?;
    let accepted = world.count(Verdict::Accepted)? - before;
    ensure!(
        accepted == flood.len() as u64 && taken.count > 0 && taken.count <= accepted,
        "{accepted} of {} datagrams are accepted, {} delivered",
        flood.len(),
        taken.count
    );
    Ok(taken)
}

fn take(source: &mut Source, stop: &AtomicBool) -> Taken {
    pin_to(0).ok();
    let mut buffer = [0_u8; 2048];
    let (mut count, mut first, mut last) = (0, None, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let came = match source {
            Source::Socket(socket) => socket.recv(&mut buffer).is_ok(),
            Source::Queue(queue) => queue
                .next(|frame| buffer[..frame.len()].copy_from_slice(frame))
                .is_some(),
        };
        if came {
            last = Instant::now();
            first.get_or_insert(last);
            count += 1;
        } else if matches!(source, Source::Queue(_)) {
            thread::yield_now();
        }
    }
    let seconds = first.map_or(f64::INFINITY, |first| (last - first).as_secs_f64());
    Taken { count, seconds }
}

/// What stands above the table.
pub(crate) const EXPLANATION: &str = "\n## Datagrams delivered\n\nBy `cargo xtask bench --only delivery`. Genuine frames of the \
     type for applications (DATA, one block), 32,768 in a batch, out of one end of a veth pair and through the \
     filter at the other, on the last processor, into one thread on the first that only reads them: by the UDP socket \
     (4 MiB of buffer, one `recv` each) or by AF_XDP in copy mode (2,048 frames of 2 KiB). Twelve batches each, in turn. \
     What was delivered of all, and the rate of the best batch from its first to its last datagram.\n\n";

/// The table, as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text =
        String::from("| path | delivered | datagrams a second, best batch |\n|---|---:|---:|\n");
    for row in rows {
        let share = row.delivered as f64 / row.offered as f64 * 100.0;
        let _ = writeln!(
            text,
            "| {} | {share:.1} % | {:.0} |",
            row.path, row.per_second
        );
    }
    text
}
