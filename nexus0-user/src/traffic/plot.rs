//! The report as a picture: bytes and messages per node and minute over nodes, logarithmic, readable in light and
//! dark.

use std::fmt::Write;

use super::peers::Peer;
use super::report::{Case, Report, Row, System};
use crate::svg::{apart, curve, open};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 712.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 590.0;
/// Where the peers stand, beside the names of the curves.
const PEERS: f64 = 700.0;
/// Hand-written SVG.
pub(crate) fn plot(report: &Report) -> String {
    let label = "Bytes and messages per node and minute over the number of nodes";
    let mut svg = open(WIDTH, HEIGHT, label);
    let bytes = Panel::bytes(report);
    bytes.draw(&mut svg, report, "Bytes per node and idle minute");
    peers(&mut svg, report, &bytes);
    Panel::messages(report).draw(&mut svg, report, "Messages per node and idle minute");
    svg.push_str("</svg>\n");
    svg
}

/// One figure of every system.
struct Panel {
    /// Top and bottom.
    field: (f64, f64),
    figure: fn(&Row) -> f64,
    /// Logarithms of the fewest and most.
    nodes: (f64, f64),
    figures: (f64, f64),
}

impl Panel {
    fn bytes(report: &Report) -> Self {
        let peers = report.peers.iter().map(Peer::bytes_per_node);
        Self::new(report, (46.0, 376.0), |row| row.bytes_per_node, peers)
    }

    fn messages(report: &Report) -> Self {
        let others = std::iter::empty();
        Self::new(report, (466.0, 666.0), |row| row.frames_per_node, others)
    }

    fn new(
        report: &Report,
        field: (f64, f64),
        figure: fn(&Row) -> f64,
        others: impl Iterator<Item = f64>,
    ) -> Self {
        let logs = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::MAX, f64::MIN), |(least, most), value| {
                (least.min(value.log10()), most.max(value.log10()))
            })
        };
        let sizes = report.sizes();
        let nodes = logs(&mut sizes.iter().map(|nodes| *nodes as f64));
        let (least, most) = logs(&mut idle(report).map(figure).chain(others));
        Self {
            field,
            figure,
            nodes: (nodes.0, nodes.1.max(nodes.0 + 0.1)),
            figures: (least - 0.1, most + 0.1),
        }
    }

    fn x(&self, nodes: usize) -> f64 {
        let (least, most) = self.nodes;
        LEFT + ((nodes as f64).log10() - least) / (most - least) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        let ((least, most), (top, bottom)) = (self.figures, self.field);
        bottom - (value.log10() - least) / (most - least) * (bottom - top)
    }

    fn draw(&self, svg: &mut String, report: &Report, title: &str) {
        let y = self.field.0 - 20.0;
        let _ = writeln!(
            svg,
            "<text class=\"t\" x=\"{LEFT}\" y=\"{y}\">{title}</text>"
        );
        self.grid(svg, report);
        let mut ends = Vec::new();
        for (system, colour) in System::ALL.into_iter().zip(["--a", "--b", "--c", "--d"]) {
            let points: Vec<(f64, f64)> = idle(report)
                .filter(|row| row.system == system)
                .map(|row| (self.x(row.nodes), self.y((self.figure)(row))))
                .collect();
            curve(svg, &points, colour);
            ends.extend(points.last().map(|(_, y)| (*y, (system.name(), colour))));
        }
        for (y, (name, colour)) in apart(ends) {
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" style=\"fill:var({colour});font-weight:600\">{name}</text>",
                RIGHT + 10.0,
                y + 4.0
            );
        }
    }

    fn grid(&self, svg: &mut String, report: &Report) {
        let (top, bottom) = self.field;
        for power in self.figures.0.ceil() as u32..=self.figures.1 as u32 {
            let value = 10_u64.pow(power);
            let y = self.y(value as f64);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"var(--faint)\"/><text x=\"{}\" y=\"{:.1}\" \
                 text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                super::table::grouped(value)
            );
        }
        for nodes in report.sizes() {
            let x = self.x(nodes);
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
            f64::midpoint(LEFT, RIGHT),
            bottom + 36.0
        );
    }
}

fn idle(report: &Report) -> impl Iterator<Item = &Row> {
    report.rows.iter().filter(|row| row.case == Case::Idle)
}

/// Peers are known for ten nodes only, so they stand beside the field, at its scale.
fn peers(svg: &mut String, report: &Report, panel: &Panel) {
    let _ = writeln!(
        svg,
        "<text class=\"s\" x=\"{}\" y=\"{}\">peers at 10 nodes</text>",
        PEERS - 4.0,
        panel.field.0 - 20.0
    );
    let marks = report.peers.iter().map(|peer| {
        let y = panel.y(peer.bytes_per_node());
        (y, (y, peer.name))
    });
    for (label, (y, name)) in apart(marks.collect()) {
        let _ = writeln!(
            svg,
            "<path d=\"M{} {y:.1}l4 -4l4 4l-4 4z\" fill=\"var(--e)\"/>\
             <path d=\"M{} {y:.1}L{} {label:.1}\" stroke=\"var(--e)\"/>\
             <text class=\"s\" x=\"{}\" y=\"{:.1}\">{name}</text>",
            PEERS - 4.0,
            PEERS + 4.0,
            PEERS + 12.0,
            PEERS + 16.0,
            label + 4.0
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_draws_every_system_twice_inside_its_fields() {
        let report = Report::measure(&[3, 10], |_| {}).unwrap();
        let svg = plot(&report);
        assert_eq!(svg.matches("<polyline").count(), 2 * System::ALL.len());
        assert_eq!(svg.matches("<circle").count(), 4 * System::ALL.len());
        for panel in [Panel::bytes(&report), Panel::messages(&report)] {
            let (top, bottom) = panel.field;
            for row in idle(&report) {
                let (x, y) = (panel.x(row.nodes), panel.y((panel.figure)(row)));
                assert!((LEFT..=RIGHT).contains(&x) && (top..=bottom).contains(&y));
            }
        }
    }
}
