//! The report as a picture: bytes per minute over nodes, both logarithmic, readable in light and dark.

use std::fmt::Write;

use super::report::{Case, Report, System};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
/// Left, top, right, bottom of the field.
const FIELD: [f64; 4] = [70.0, 44.0, 640.0, 400.0];

const STYLE: &str = "\
svg{--ink:#1f2328;--faint:#d0d7de;--paper:#ffffff;--a:#0969da;--b:#cf222e;--c:#9a6700;--d:#1a7f37;--e:#6e7781}\
@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--faint:#30363d;--paper:#0d1117;--a:#58a6ff;--b:#ff7b72;\
--c:#d29922;--d:#3fb950;--e:#8b949e}}\
text{font:12px system-ui,sans-serif;fill:var(--ink)}.t{font-size:15px;font-weight:600}.s{fill:var(--e)}";

/// Hand-written SVG.
pub(crate) fn plot(report: &Report) -> String {
    let axes = Axes::of(report);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Bytes per minute on the segment over the number of nodes\">\n<style>{STYLE}</style>\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"var(--paper)\"/>\n\
         <text class=\"t\" x=\"{}\" y=\"24\">Bytes per minute on the segment, idle</text>\n",
        FIELD[0]
    );
    grid(&mut svg, report, &axes);
    let mut ends = Vec::new();
    for (system, colour) in System::ALL.into_iter().zip(["--a", "--b", "--c", "--d"]) {
        let points: Vec<(f64, f64)> = report
            .sizes()
            .into_iter()
            .filter_map(|nodes| {
                let bytes = report.bytes(system, nodes, Case::Idle)?;
                Some((axes.x(nodes), axes.y(bytes)))
            })
            .collect();
        curve(&mut svg, &points, colour);
        ends.extend(points.last().map(|(_, y)| (*y, system.name(), colour)));
    }
    names(&mut svg, ends);
    peers(&mut svg, report, &axes);
    svg.push_str("</svg>\n");
    svg
}

struct Axes {
    nodes: (f64, f64),
    bytes: (f64, f64),
}

impl Axes {
    fn of(report: &Report) -> Self {
        let sizes = report.sizes();
        let idle = report.rows.iter().filter(|row| row.case == Case::Idle);
        let bytes: Vec<u64> = idle
            .map(|row| row.bytes)
            .chain(report.peers.map(|peer| peer.bytes))
            .collect();
        let log = |value: u64| (value.max(1) as f64).log10();
        let least = log(bytes.iter().copied().min().unwrap_or(1)).floor();
        let most = log(bytes.iter().copied().max().unwrap_or(10)).ceil();
        let first = sizes.iter().copied().min().unwrap_or(1) as f64;
        let last = sizes.iter().copied().max().unwrap_or(10) as f64;
        Self {
            nodes: (first.log10(), last.log10().max(first.log10() + 0.1)),
            bytes: (least, most.max(least + 1.0)),
        }
    }

    fn x(&self, nodes: usize) -> f64 {
        let (least, most) = self.nodes;
        let share = ((nodes as f64).log10() - least) / (most - least);
        FIELD[0] + share * (FIELD[2] - FIELD[0])
    }

    fn y(&self, bytes: u64) -> f64 {
        let (least, most) = self.bytes;
        let share = ((bytes.max(1) as f64).log10() - least) / (most - least);
        FIELD[3] - share * (FIELD[3] - FIELD[1])
    }
}

fn grid(svg: &mut String, report: &Report, axes: &Axes) {
    let [left, top, right, bottom] = FIELD;
    for power in axes.bytes.0 as u32..=axes.bytes.1 as u32 {
        let y = axes.y(10_u64.pow(power));
        let name = match power {
            0..3 => 10_u64.pow(power).to_string(),
            3..6 => format!("{} kB", 10_u64.pow(power - 3)),
            6..9 => format!("{} MB", 10_u64.pow(power - 6)),
            _ => format!("{} GB", 10_u64.pow(power - 9)),
        };
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"var(--faint)\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"end\">{name}</text>",
            left - 8.0,
            y + 4.0
        );
    }
    for nodes in report.sizes() {
        let x = axes.x(nodes);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"var(--faint)\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{nodes}</text>",
            bottom + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"s\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">nodes</text>",
        f64::midpoint(left, right),
        bottom + 38.0
    );
}

fn curve(svg: &mut String, points: &[(f64, f64)], colour: &str) {
    let line: Vec<String> = points
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"var({colour})\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (x, y) in points {
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"var({colour})\"/>"
        );
    }
}

/// Names at the ends of the curves, pushed apart.
fn names(svg: &mut String, mut ends: Vec<(f64, &str, &str)>) {
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = f64::MIN;
    for (y, name, colour) in ends {
        let y = y.max(free);
        free = y + 15.0;
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" style=\"fill:var({colour});font-weight:600\">{name}</text>",
            FIELD[2] + 10.0,
            y + 4.0
        );
    }
}

/// Peers stand where ten nodes stand.
fn peers(svg: &mut String, report: &Report, axes: &Axes) {
    let x = axes.x(10);
    for peer in &report.peers {
        let y = axes.y(peer.bytes);
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {y:.1}l4 -4l4 4l-4 4z\" fill=\"var(--e)\"><title>{}: {} bytes/min, {}</title></path>",
            x - 4.0,
            peer.name,
            peer.bytes,
            report.peers_source
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"s\" x=\"{:.1}\" y=\"{:.1}\">grey: peers, {} (names on hover, and in the table)</text>",
        FIELD[0],
        HEIGHT - 6.0,
        report.peers_source
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_draws_every_system_inside_its_field() {
        let report = Report::measure(&[3, 10], |_| {}).unwrap();
        let svg = plot(&report);
        assert_eq!(svg.matches("<polyline").count(), System::ALL.len());
        assert_eq!(svg.matches("<circle").count(), 2 * System::ALL.len());
        let axes = Axes::of(&report);
        for row in report.rows.iter().filter(|row| row.case == Case::Idle) {
            let (x, y) = (axes.x(row.nodes), axes.y(row.bytes));
            assert!((FIELD[0]..=FIELD[2]).contains(&x) && (FIELD[1]..=FIELD[3]).contains(&y));
        }
    }
}
