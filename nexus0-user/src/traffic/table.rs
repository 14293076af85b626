//! The report for people: 80 columns, and as Markdown.

use std::fmt::Write;

use super::report::{Case, Hostile, Report, System};

/// What docs/TRAFFIC.md begins with.
const HEAD: &str = "\
# What coordination costs on the link

This page and its picture are the output of

```
cargo run --release --locked -p nexus0 -- traffic --markdown \\
    --svg docs/traffic.svg > docs/TRAFFIC.md
```

Counts, not times: the same on every machine. All four run on one simulated Ethernet segment without loss; a frame
counts once per segment, multicast too, with 62 bytes of Ethernet, IPv6 and UDP headers. NEXUS-0 is the node that the
daemon runs. The jury is a small implementation of ours of three-phase voting; Raft and SWIM are crates, with timers
for the detection time of NEXUS-0. Raft and SWIM protect nothing: 40 bytes of pre-tag and tag on each of their
messages would be the comparison at equal protection. SWIM's figure of a failover is that of a lost member.

![Bytes and messages per node and minute over nodes](traffic.svg)

Bytes per minute on the segment, idle:

";
/// Where the claim "95 % less than jury consensus" begins to hold.
const CLAIM: f64 = 95.0;

/// For a terminal.
pub(crate) fn table(report: &Report) -> String {
    let mut text = String::from("Bytes per minute on the segment, idle\n\n");
    line(
        &mut text,
        ["nodes", "NEXUS-0", "jury", "Raft", "SWIM", "vs jury"],
    );
    for nodes in report.sizes() {
        let cells = System::ALL.map(|system| cell(report.bytes(system, nodes, Case::Idle)));
        let [own, jury, raft, swim] = &cells;
        let saved = report
            .saved(nodes)
            .map_or(String::new(), |saved| format!("{:+.0} %", -saved));
        line(
            &mut text,
            [&nodes.to_string(), own, jury, raft, swim, &saved],
        );
    }
    text.push_str("\nPer node and minute, idle: messages / bytes\n\n");
    line(&mut text, ["nodes", "NEXUS-0", "jury", "Raft", "SWIM", ""]);
    for nodes in report.sizes() {
        let cells = System::ALL.map(|system| per_node(report, system, nodes));
        let [own, jury, raft, swim] = &cells;
        line(&mut text, [&nodes.to_string(), own, jury, raft, swim, ""]);
    }
    text.push_str("\nNEXUS-0: bytes of a minute with one event in it, and of the turn alone\n\n");
    line(&mut text, ["nodes", "idle", "failover", "join", "turn", ""]);
    for nodes in report.sizes() {
        let cases = [Case::Idle, Case::Failover, Case::Join, Case::Turn];
        let [idle, failover, join, turn] =
            &cases.map(|case| cell(report.bytes(System::Nexus0, nodes, case)));
        line(
            &mut text,
            [&nodes.to_string(), idle, failover, join, turn, ""],
        );
    }
    text.push_str("\nBytes sent because of one hostile packet of a stranger\n\n");
    line(&mut text, ["nodes", "NEXUS-0", "recorded", "jury", "", ""]);
    for hostile in &report.hostile {
        let [own, recorded, jury] = &answers(hostile);
        let nodes = hostile.nodes.to_string();
        line(&mut text, [&nodes, own, recorded, jury, "", ""]);
    }
    let _ = write!(text, "\n{}\n\n{}", claim(report), peers(report));
    for system in System::ALL {
        let _ = writeln!(
            text,
            "\n{}",
            wrapped(&format!("{}: {}.", system.name(), system.conditions()))
        );
    }
    text
}

/// For docs/TRAFFIC.md.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::from(HEAD);
    text.push_str("| nodes | NEXUS-0 | jury | Raft | SWIM | NEXUS-0 against the jury |\n|---:|---:|---:|---:|---:|---:|\n");
    for nodes in report.sizes() {
        let [own, jury, raft, swim] =
            System::ALL.map(|system| cell(report.bytes(system, nodes, Case::Idle)));
        let saved = report.saved(nodes).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {nodes} | {own} | {jury} | {raft} | {swim} | {:+.0} % |",
            -saved
        );
    }
    text.push_str("\nPer node and minute, messages / bytes:\n\n| nodes | NEXUS-0 | jury | Raft | SWIM |\n|---:|---:|---:|---:|---:|\n");
    for nodes in report.sizes() {
        let [own, jury, raft, swim] = System::ALL.map(|system| per_node(report, system, nodes));
        let _ = writeln!(text, "| {nodes} | {own} | {jury} | {raft} | {swim} |");
    }
    text.push_str("\nMinutes with one event in them:\n\n| nodes | system | idle | failover | join | turn alone |\n|---:|---|---:|---:|---:|---:|\n");
    for nodes in report.sizes() {
        for system in System::ALL {
            let cases = [Case::Idle, Case::Failover, Case::Join, Case::Turn];
            let [idle, failover, join, turn] =
                cases.map(|case| cell(report.bytes(system, nodes, case)));
            let name = system.name();
            let _ = writeln!(
                text,
                "| {nodes} | {name} | {idle} | {failover} | {join} | {turn} |"
            );
        }
    }
    text.push_str("\nBytes sent because of one hostile packet of a stranger:\n\n| nodes | NEXUS-0 | NEXUS-0, a recorded request to join | jury |\n|---:|---:|---:|---:|\n");
    for hostile in &report.hostile {
        let [own, recorded, jury] = answers(hostile);
        let nodes = hostile.nodes;
        let _ = writeln!(text, "| {nodes} | {own} | {recorded} | {jury} |");
    }
    let _ = write!(text, "\n{}\n", claim(report));
    let _ = write!(
        text,
        "\n| peer, {} | bytes/min |\n|---|---:|\n",
        report.peers_source
    );
    for peer in &report.peers {
        let _ = writeln!(text, "| {} | {} |", peer.name, cell(Some(peer.bytes)));
    }
    text.push_str("\nConditions:\n\n");
    for system in System::ALL {
        let _ = writeln!(text, "* {}: {}.", system.name(), system.conditions());
    }
    text
}

/// What one packet brings: refused, recorded, reported to a jury.
fn answers(hostile: &Hostile) -> [String; 3] {
    [hostile.nexus0, hostile.nexus0_recorded, hostile.jury].map(|bytes| cell(Some(bytes)))
}

fn line(text: &mut String, cells: [&str; 6]) {
    let [first, rest @ ..] = cells;
    let mut line = format!("{first:>6}");
    for cell in rest {
        let _ = write!(line, " {cell:>13}");
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

fn cell(bytes: Option<u64>) -> String {
    bytes.map_or("-".to_owned(), grouped)
}

/// With a comma before every third digit from the right.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn per_node(report: &Report, system: System, nodes: usize) -> String {
    let mut rows = report.rows.iter();
    rows.find(|row| (row.system, row.nodes, row.case) == (system, nodes, Case::Idle))
        .map_or("-".to_owned(), |row| {
            format!("{:.0} / {:.0}", row.frames_per_node, row.bytes_per_node)
        })
}

/// Where "95 % less than jury consensus" holds, and where not.
fn claim(report: &Report) -> String {
    let idle = |nodes: usize| report.saved(nodes).is_some_and(|saved| saved >= CLAIM);
    let recorded = |hostile: &Hostile| {
        100.0 * (1.0 - hostile.nexus0_recorded as f64 / hostile.jury as f64) >= CLAIM
    };
    let hostile = report.hostile.iter();
    let (idle, recorded) = (
        holds(report.sizes().into_iter().map(|nodes| (nodes, idle(nodes)))),
        holds(hostile.map(|hostile| (hostile.nodes, recorded(hostile)))),
    );
    wrapped(&format!(
        "95 % less than jury consensus in idle minutes {idle}. Per hostile packet that the filter refuses it holds \
         for every N: nothing is sent at all. A recorded request to join brings one answer of its own length: there \
         it {recorded}."
    ))
}

/// For which sizes something holds, and for which not.
fn holds(sizes: impl Iterator<Item = (usize, bool)>) -> String {
    let (yes, no): (Vec<_>, Vec<_>) = sizes.partition(|(_, holds)| *holds);
    let names = |sizes: Vec<(usize, bool)>| {
        let names: Vec<String> = sizes.iter().map(|(nodes, _)| nodes.to_string()).collect();
        names.join(", ")
    };
    match (yes.is_empty(), no.is_empty()) {
        (true, _) => format!("does not hold for N = {}", names(no)),
        (_, true) => format!("holds for N = {}", names(yes)),
        _ => format!("holds for N = {}, not for {}", names(yes), names(no)),
    }
}

fn peers(report: &Report) -> String {
    let mut text = format!("Peers, bytes per minute: {}\n\n", report.peers_source);
    for peer in &report.peers {
        let _ = writeln!(text, "  {:<32} {:>13}", peer.name, cell(Some(peer.bytes)));
    }
    text
}

fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("never empty");
        if !last.is_empty() && last.len() + 1 + word.len() > 79 {
            lines.push(word.to_owned());
        } else {
            let space = if last.is_empty() { "" } else { " " };
            last.push_str(space);
            last.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_fits_eighty_columns_and_says_where_the_claim_fails() {
        let report = Report::measure(&[3, 5], |_| {}).unwrap();
        let text = table(&report);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(
            text.replace('\n', " ")
                .contains("minutes does not hold for N = 3, 5."),
            "{text}"
        );
        assert!(markdown(&report).contains("| 5 | Raft |"));
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(cell(Some(1_234_567)), "1,234,567");
        assert_eq!(cell(Some(12)), "12");
        assert_eq!(cell(None), "-");
    }
}
