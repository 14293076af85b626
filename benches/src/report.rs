//! The table, as text and as Markdown.

use std::fmt::Write;

use crate::engine::Figures;

/// Rows with a target: kind, what it is measured over, nanoseconds allowed above that.
const TARGETS: [(&str, &str, u64); 5] = [
    ("foreign", "floor: XDP_PASS", 10),
    ("malformed", "floor: XDP_DROP", 10),
    ("forged", "floor: XDP_DROP", 60),
    ("replayed", "floor: XDP_DROP", 110),
    ("valid pulse", "floor: XDP_DROP", 450),
];

fn over(figures: &Figures, kind: &str) -> Option<(u64, u64, u64)> {
    let (_, floor, target) = TARGETS.iter().find(|(name, ..)| *name == kind)?;
    let time = |kind: &str| {
        figures
            .rows
            .iter()
            .find(|row| row.kind == kind)
            .map(|row| row.one)
    };
    Some((
        time(kind)?,
        time(kind)?.saturating_sub(time(floor)?),
        *target,
    ))
}

/// A table of one capability set.
pub(crate) fn table(figures: &Figures) -> String {
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
        let (above, target) = match over(figures, &row.kind) {
            Some((_, above, target)) => (format!("+{above}"), format!("+{target}")),
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

/// The whole of RESULTS.md.
pub(crate) fn document(machine: &str, all: &[Figures], host: u64) -> String {
    let mut text = format!(
        "# Measured\n\nWritten by `cargo xtask bench --write`. {machine}\n\nNanoseconds per frame in \
         BPF_PROG_TEST_RUN, whole program: the least mean of twelve batches. \"One frame\" is one \
         frame 100,000 times in a batch; \"1,000 frames\" are as many different ones, each in a run of its own, \
         the two readings of the clock included (compare with its own floor). Targets are for the full capability set.\n\n\
         *Foreign* is a datagram to another port. *Malformed* has a wrong version. *Forged* is well formed, \
         names the current key and a known sender, and has a wrong tag. *Replayed* was accepted before. \
         *Valid pulse* is an ANN, two compressions; the bench takes its sequence back before each \
         run, which is part of its figure.\n"
    );
    for figures in all {
        let _ = write!(text, "\n## {}\n\n{}", figures.capabilities, table(figures));
    }
    let _ = write!(
        text,
        "\n## On the host\n\nHMAC-SHA256 over the same 55 bytes with the `hmac` and `sha2` crates, key \
         schedule reused: {host} ns (with the processor's SHA extensions where it has them).\n"
    );
    text
}
