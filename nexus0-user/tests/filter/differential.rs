//! A million frames before three judges, interleaved with changes of what they hold: the program in the kernel, the
//! host's `classify`, and the oracle written from PROTOCOL alone.
//!
//! `NX0_DIFFERENTIAL_FRAMES` and `NX0_DIFFERENTIAL_SEED` choose another run; each further million is a fresh
//! start from the next seed, so that whatever is found is found again within a million frames.

use std::collections::BTreeMap;
use std::env;

use nexus0_common::reason::Verdict;

use crate::judges::Verdicts;
use crate::mutate::Mutator;
use crate::oracle::Deviation;
use crate::story::Story;

const MILLION: u64 = 1_000_000;

type Met = BTreeMap<Verdict, u64>;

fn setting(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => default,
    }
}

/// One run of the comparison.
#[derive(Clone, Copy)]
struct Run {
    seed: u64,
    frames: u64,
    with_kernel: bool,
    deviation: Option<Deviation>,
}

impl Run {
    /// The first disagreement is an error that names seed and frame.
    fn compare(self, lie: impl Fn(u64, &mut Verdicts)) -> Result<Met, String> {
        let mutator = Mutator::new(self.seed);
        let mut story = Story::new(mutator, self.with_kernel, self.deviation);
        let mut met = Met::new();
        for number in 0..self.frames {
            let (frame, mut verdicts) = story.next();
            lie(number, &mut verdicts);
            if !verdicts.agree() {
                let seed = self.seed;
                return Err(format!(
                    "seed {seed}, frame {number}: {verdicts:?}: {frame:02x?}"
                ));
            }
            *met.entry(verdicts.host).or_insert(0) += 1;
        }
        Ok(met)
    }
}

/// Runs as many frames as are asked for, a million from each seed.
fn compare_all(with_kernel: bool) {
    let seed = setting("NX0_DIFFERENTIAL_SEED", 0x6e30);
    let frames = setting("NX0_DIFFERENTIAL_FRAMES", MILLION);
    let mut met = Met::new();
    for million in 0..frames.div_ceil(MILLION) {
        let run = Run {
            seed: seed + million,
            frames: (frames - million * MILLION).min(MILLION),
            with_kernel,
            deviation: None,
        };
        for (verdict, count) in run.compare(|_, _| ()).unwrap() {
            *met.entry(verdict).or_insert(0) += count;
        }
    }
    println!("{frames} frames from seed {seed}: {met:?}");
    all_were_met(&met, frames);
}

/// A green run means nothing unless the deep checks were reached.
fn all_were_met(met: &Met, frames: u64) {
    let never = [Verdict::Contention, Verdict::Internal];
    for verdict in Verdict::ALL
        .iter()
        .filter(|verdict| !never.contains(verdict))
    {
        assert!(
            met.get(verdict).is_some_and(|count| count * 4000 > frames),
            "{verdict:?} was hardly met: {met:?}"
        );
    }
}

#[test]
fn a_million_frames_get_the_same_verdict_from_kernel_host_and_oracle() {
    compare_all(true);
}

#[test]
fn a_million_frames_get_the_same_verdict_at_every_exact_boundary_of_time() {
    compare_all(false);
}

#[test]
fn an_oracle_that_deviates_in_one_point_is_caught() {
    let mut missed = Vec::new();
    for deviation in Deviation::ALL {
        for with_kernel in [true, false] {
            let run = Run {
                seed: 1,
                frames: 100_000,
                with_kernel,
                deviation: Some(deviation),
            };
            match run.compare(|_, _| ()) {
                Ok(_) => missed.push((deviation, with_kernel)),
                Err(report) => println!("{deviation:?}: {}", &report[..report.len().min(160)]),
            }
        }
    }
    assert!(missed.is_empty(), "nobody noticed {missed:?}");
}

#[test]
fn a_judge_that_lies_about_one_frame_is_caught() {
    let host = |verdicts: &mut Verdicts| verdicts.host = Verdict::Internal;
    let oracle = |verdicts: &mut Verdicts| verdicts.oracle = "internal";
    let kernel = |verdicts: &mut Verdicts| verdicts.kernel = Some(Verdict::Internal);
    for lie in [host, oracle, kernel] {
        let run = Run {
            seed: 1,
            frames: 1000,
            with_kernel: true,
            deviation: None,
        };
        let lie = |number, verdicts: &mut Verdicts| {
            if number == 777 {
                lie(verdicts);
            }
        };
        let caught = run.compare(lie).unwrap_err();
        assert!(caught.contains("frame 777"), "{caught}");
    }
}
