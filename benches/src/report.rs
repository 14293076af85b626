//! The results as text and as Markdown.

use std::fmt::Write;

use crate::controller;
use crate::delivery;
use crate::end_to_end::{self, FORGED, Row, VALID};
use crate::engine::Figures;
use crate::goodput::Goodput;
use crate::peers::{DROP, NATIVE};
use crate::plot::plot;
use crate::results::Results;

/// Rows with a target: key, what it is measured over, nanoseconds allowed above that.
const TARGETS: [(&str, &str, u64); 5] = [
    ("foreign", "pass", 10),
    ("malformed", "floor", 10),
    ("forged", "floor", 60),
    ("replayed", "floor", 110),
    ("valid_pulse", "floor", 450),
];

/// What stands between one refusal and the next: from, to, what.
const STEPS: [(&str, &str, &str); 5] = [
    ("floor", "malformed", "addresses, lengths, counting"),
    ("malformed", "unknown_key", "type, trailer, key id"),
    ("unknown_key", "forged", "pre-tag: 7 rounds of SipHash"),
    ("forged", "replayed", "clock, sender in a hash map, window"),
    (
        "replayed",
        "valid_pulse",
        "tag: two compressions of SHA-256; window and rate written",
    ),
];

/// What a person at the terminal reads.
pub(crate) fn text(results: &Results) -> String {
    let mut text = String::new();
    for figures in &results.programs {
        let _ = writeln!(text, "{}", programs(figures));
    }
    let _ = writeln!(text, "{}", hmac(results));
    if !results.end_to_end.is_empty() {
        let _ = writeln!(text, "\n{}", rates(&results.end_to_end));
        text.push_str(&comparison(&results.end_to_end));
    }
    if let Some(goodput) = &results.goodput {
        let _ = writeln!(text, "\n{}", sweeps(goodput));
    }
    for table in [
        delivery::table(&results.delivery),
        controller::table(&results.controller),
    ] {
        text.push_str(&table);
    }
    for missing in &results.missing {
        let _ = writeln!(text, "not measured: {missing}");
    }
    text
}

/// Files of this folder, by name.
pub(crate) fn files(results: &Results) -> Vec<(&'static str, String)> {
    let mut files = vec![("RESULTS.md", document(results))];
    files.extend(
        results
            .goodput
            .iter()
            .map(|goodput| ("goodput.svg", plot(goodput))),
    );
    files
}

fn over(figures: &Figures, key: &str) -> Option<(u64, u64)> {
    let (_, floor, target) = TARGETS.iter().find(|(name, ..)| *name == key)?;
    let above = figures
        .row(key)?
        .one
        .saturating_sub(figures.row(floor)?.one);
    Some((above, *target))
}

/// What the filter's hashing is held against.
fn hmac(results: &Results) -> String {
    let host = results.host_hmac_ns;
    let mut text = format!(
        "Over the 55 authenticated bytes of a pulse, key schedule reused, on the host: {} ns with the `hmac` and `sha2` \
         crates as they are, {} ns with all rounds in software.",
        host.native, host.software
    );
    let time = |key| results.program_ns.get(key).copied().flatten();
    if let (Some(valid), Some(replayed)) = (time("valid_pulse"), time("replayed")) {
        let here = valid.saturating_sub(replayed);
        let _ = write!(
            text,
            " In eBPF at most {here} ns, which is a valid pulse less a replay and so has the commit in it: {:.2} of the \
             host's software (target 1.25).",
            here as f64 / host.software as f64
        );
    }
    text
}

/// A table of one capability set.
fn programs(figures: &Figures) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: verifier {}, {} bytes of machine code, {} instructions verified\n",
        figures.capabilities, figures.verifier, figures.jited_bytes, figures.verified_instructions
    );
    let _ = writeln!(
        text,
        "| frame | one frame, ns | 1,000 frames, ns | over floor, ns | target, ns |"
    );
    let _ = writeln!(text, "|---|---:|---:|---:|---:|");
    for row in &figures.rows {
        let (above, target) = match over(figures, &row.key) {
            Some((above, target)) => (format!("+{above}"), format!("+{target}")),
            None => (String::new(), String::new()),
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {above} | {target} |",
            row.kind, row.one, row.many
        );
    }
    text
}

/// Where the time of a valid pulse goes: what each check adds to the refusal before it.
fn profile(figures: &Figures) -> String {
    let time = |key| figures.row(key).map(|row| row.one);
    let mut text = String::from("| check | ns |\n|---|---:|\n");
    for (from, to, what) in STEPS {
        if let (Some(from), Some(to)) = (time(from), time(to)) {
            let _ = writeln!(text, "| {what} | {} |", to.saturating_sub(from));
        }
    }
    text
}

/// All peers, one under the other.
fn rates(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what judges | where | frames | ns per frame | a second, one processor | share of drop | a second, all |\n\
         |---|---|---|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {:.2} | {} |",
            row.name,
            row.place,
            row.frames,
            row.nanoseconds.map_or(String::new(), |ns| ns.to_string()),
            millions(row.per_second),
            row.share_of_drop,
            row.per_second_all.map_or(String::new(), millions),
        );
    }
    text
}

fn millions(rate: f64) -> String {
    format!("{:.2} M", rate / 1e6)
}

/// Both sweeps, one under the other.
fn sweeps(goodput: &Goodput) -> String {
    let mut text = String::from(
        "| filter | forged a second | lost in the ring | members' frames delivered | p50, us | p99, us |\n\
         |---|---:|---:|---:|---:|---:|\n",
    );
    let with = goodput.with_filter.iter().map(|point| ("yes", point));
    let without = goodput.without_filter.iter().map(|point| ("no", point));
    for (filter, point) in with.chain(without) {
        let _ = writeln!(
            text,
            "| {filter} | {} | {:.2} % | {:.2} % | {:.0} | {:.0} |",
            millions(point.offered_per_second),
            100.0 * point.ring_lost,
            100.0 * point.share(),
            point.p50_microseconds,
            point.p99_microseconds,
        );
    }
    text.push('\n');
    if let Some((share, taken, fastest)) = goodput.below_the_knee() {
        let _ = writeln!(
            text,
            "With the filter, where the ring loses less than one frame in 200 (up to {} a second): at least {:.2} % \
             delivered, {:.2} % of what the ring took (target 99.9 %).",
            millions(fastest),
            100.0 * share,
            100.0 * taken
        );
    }
    if let Some((times, all, speed)) = goodput.beyond_the_knee() {
        let _ = writeln!(
            text,
            "\nWhere it loses more: at least {times:.1} x what is delivered without the filter (target 5), at {} a \
             second, where all of them would be {all:.1} x.",
            millions(speed)
        );
    }
    text
}

/// The two targets, and the figure that has none.
fn comparison(rows: &[Row]) -> String {
    let mut text = String::new();
    let native = |frames| end_to_end::row(rows, NATIVE, frames);
    if let (Some(drop), Some(forged)) = (end_to_end::row(rows, DROP, FORGED), native(FORGED)) {
        let _ = writeln!(
            text,
            "Forged flood, share of the bare drop's rate: {:.2} on one processor (target 0.80), {:.2} on all.",
            forged.share_of_drop,
            forged.per_second_all.unwrap_or(0.0) / drop.per_second_all.unwrap_or(f64::NAN),
        );
    }
    let nanoseconds = |name| end_to_end::row(rows, name, FORGED).and_then(|row| row.nanoseconds);
    if let (Some(drop), Some(forged)) = (nanoseconds(DROP), nanoseconds(NATIVE)) {
        let _ = writeln!(
            text,
            "Sending and the way through a veth take {drop} ns of it, which leaves a filter {:.0} ns at 0.80; it takes {}. \
             Alone it takes less (above); here each frame lies in another page, presumably beyond the first cache.",
            drop as f64 / 0.8 - drop as f64,
            forged.saturating_sub(drop),
        );
    }
    let best = |frames| end_to_end::best_in_user_space(rows, frames);
    if let (Some(row), Some(best)) = (native(FORGED), best(FORGED)) {
        let _ = writeln!(
            text,
            "Forged frames judged, over the best verifier in user space: {:.1} x by all processors, {:.1} x by \
             one (target 5).",
            row.per_second_all.unwrap_or(0.0) / best,
            row.per_second / best,
        );
    }
    if let (Some(row), Some(best)) = (native(VALID), best(VALID)) {
        let _ = writeln!(
            text,
            "Valid frames judged by one processor and delivered to a socket, over the same: {:.1} x.",
            row.per_second / best,
        );
    }
    text
}

/// The whole of RESULTS.md.
fn document(results: &Results) -> String {
    let mut text = format!(
        "# Measured\n\nWritten by `{}`. {}\n",
        results.command,
        results.machine.sentence()
    );
    text.push_str(
        "\n## The program alone\n\nNanoseconds per frame in BPF_PROG_TEST_RUN, whole program: the least mean of \
         twelve batches. \"One frame\" is one frame 100,000 times in a batch; \"1,000 frames\" are as many different \
         ones, each in a run of its own, the two readings of the clock included (compare with its own floor). Targets \
         are for the full capability set.\n\n*Foreign* is a datagram to another port. *Malformed* has a wrong version. \
         *Forged* is well formed, names the current key and a known sender, and has a wrong tag. *Replayed* was accepted \
         before. *Valid pulse* is an ANN, two compressions; the bench takes its sequence back before each run, which is \
         part of its figure. *xdp-filter* is that of xdp-tools, told to refuse the mesh's port, with the dispatcher it \
         is loaded by; it cannot be loaded without CAP_PERFMON.\n",
    );
    for figures in &results.programs {
        let _ = write!(
            text,
            "\n### {}\n\n{}",
            figures.capabilities,
            programs(figures)
        );
    }
    if let Some(full) = results.programs.first() {
        let _ = write!(
            text,
            "\n### Where it goes\n\nWhat each check adds, with the full capability set, one frame over and over. The \
             targets above were set on a machine whose host needs about 300 ns in software for the HMAC below: \
             what computes, pre-tag and tag, goes with that figure.\n\n{}",
            profile(full)
        );
    }
    let _ = write!(text, "\n### HMAC-SHA256\n\n{}\n", hmac(results));
    text.push_str(
        "\n## End to end, beside its peers\n\nThe same 4,096 different frames in one run, out of one end of a veth pair \
         with a queue for each processor and into the other. The generator rewrites each frame from its template; the \
         receiver polls on the processor that sends, so a processor's figure is for sending and judging together, \
         and nothing is lost in between. Nanoseconds are the least mean of thirty batches of 20,000 frames in each \
         of three rounds; \"all\" is every processor at once, for 0.8 s. Forged frames must not reach a socket, and must \
         reach it where nobody refuses them; both are checked with each peer. What has no program in the driver runs \
         with generic receive offload, without which a veth does not poll. *Valid* frames are all fresh, and go on \
         through the stack into a socket. User space has a processor to itself, the generator and the kernel's receive \
         path have another (one thread), or it has one thread on each; of five speeds of the flood the best counts.\n\n",
    );
    text.push_str(&rates(&results.end_to_end));
    let _ = write!(
        text,
        "\n{}\nSet up by:\n\n",
        comparison(&results.end_to_end).replace('\n', "\n\n")
    );
    for row in results.end_to_end.iter().filter(|row| row.frames == FORGED) {
        let _ = writeln!(text, "* {}: `{}`", row.name, row.command);
    }
    if let Some(goodput) = &results.goodput {
        let _ = write!(
            text,
            "\n## Members under attack\n\n![Delivered share and delay over the speed of the flood](goodput.svg)\n\n\
             {} frames a second of sixteen members, half of them pulses and half DATA of three blocks, in one stream with a \
             rising flood of forged frames, into a veth of one queue (256 frames), for {} s at each speed. The last \
             processor is the link: the generator's program spaces both evenly and notes when it sends a member's frame. \
             The first is the defended machine: a kernel thread polls the queue (threaded NAPI), the application verifies \
             whatever reaches its socket, with the filter and without, its buffer the kernel's default. Both are real-time \
             tasks, the application before the polling, so that neither other work of the machine nor polling starves \
             it. A member's frame is delivered when the application has verified it. Without the filter, generic receive \
             offload is on, and nothing is attached.\n\n{}",
            goodput.members_per_second,
            goodput.seconds_per_point,
            sweeps(goodput)
        );
    }
    text.push_str(delivery::EXPLANATION);
    text.push_str(&delivery::table(&results.delivery));
    text.push_str(controller::EXPLANATION);
    text.push_str(&controller::table(&results.controller));
    text
}
