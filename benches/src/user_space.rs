//! How many frames a second user space verifies, at the end of the same link.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use nexus0::flood::{Generator, Pace};
use nexus0::lab::load::last_processor;
use nexus0::lab::pair::{Pair, Receive};
use nexus0::lab::process::pin_to;

use crate::end_to_end::{Effort, Flood, Row, USER, VALID, genuine, processors};
use crate::frames;
use crate::verifier::{self, Judged};

/// Speeds that are tried, since a flood that is too fast steals from those who verify.
const PACES: [Pace; 5] = [
    Pace::Flat,
    Pace::Even(1_500_000),
    Pace::Even(1_000_000),
    Pace::Even(700_000),
    Pace::Even(500_000),
];

/// Judged by threads, the first on the first processor; the generator and the kernel's receive path have the
/// last one. The best of all speeds counts.
pub(crate) fn measure(threads: usize, kind: &str, effort: Effort) -> Result<Row> {
    let pair = Pair::build(processors().len(), Receive::Stack)?;
    let generator = pair.generator()?;
    let members = nexus0_common::maps::MAX_PEERS as u32;
    let flood = match kind {
        VALID => genuine(),
        _ => frames::forgeries(&frames::key(), members),
    };
    let mut best: f64 = 0.0;
    for pace in PACES {
        best = best.max(verified(
            &pair, &generator, &flood, threads, pace, kind, effort,
        )?);
    }
    Ok(Row {
        name: match threads {
            1 => "UDP socket, one thread".into(),
            _ => format!("UDP sockets, {threads} threads"),
        },
        place: USER.into(),
        command: match threads {
            1 => "recvfrom, hmac + sha2 crates".into(),
            _ => "SO_REUSEPORT, recvmmsg of 64, hmac + sha2 crates".into(),
        },
        frames: kind.into(),
        nanoseconds: None,
        per_second: best / threads as f64,
        per_second_all: Some(best),
        share_of_drop: 0.0,
    })
}

fn verified(
    pair: &Pair,
    generator: &Generator,
    flood: &[Vec<u8>],
    threads: usize,
    pace: Pace,
    kind: &str,
    effort: Effort,
) -> Result<f64> {
    let sockets = pair.own.within(|| {
        (0..threads)
            .map(|_| verifier::socket(None))
            .collect::<Result<Vec<UdpSocket>>>()
    })??;
    let (judged, stop) = (Judged::default(), AtomicBool::new(false));
    let rate = thread::scope(|scope| {
        for (processor, socket) in sockets.iter().enumerate() {
            let (judged, stop) = (&judged, &stop);
            scope.spawn(move || {
                pin_to(processor).ok();
                match threads {
                    1 => verifier::one_by_one(socket, judged, stop),
                    _ => verifier::by_the_many(socket, judged, stop, |_| ()),
                }
            });
        }
        let flood = Flood {
            pair,
            generator,
            frames: flood,
            processors: &[last_processor()],
            pace,
        };
        let rate = flood.rate(effort.flood, || Ok(judged.total()));
        stop.store(true, Ordering::Relaxed);
        rate
    })?;
    let accepted = judged.accepted.load(Ordering::Relaxed);
    let wrong = match kind {
        VALID => judged.refused.load(Ordering::Relaxed),
        _ => accepted,
    };
    ensure!(
        wrong == 0 && rate > 0.0,
        "user space judged {wrong} {kind} frames wrongly"
    );
    Ok(rate)
}
