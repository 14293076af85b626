//! Goodput under attack as a picture: what members get through, and how late, over the speed of the flood.

use std::fmt::Write;

use nexus0::svg::{apart, curve, open};

use crate::goodput::{Goodput, Point};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 600.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 720.0;
/// Top and bottom of the fields.
const SHARES: (f64, f64) = (46.0, 306.0);
const DELAYS: (f64, f64) = (376.0, 546.0);
const WITH: (&str, &str) = ("with the filter", "--a");
const WITHOUT: (&str, &str) = ("without it", "--b");
/// Microseconds at the bottom and the top of the lower field, as powers of ten.
const POWERS: (f64, f64) = (1.0, 5.0);
/// Forged frames between two lines.
const STEP: f64 = 1e6;

/// Hand-written SVG.
pub(crate) fn plot(goodput: &Goodput) -> String {
    let label = "Share and delay of members' frames over forged frames a second, with and without the filter";
    let mut svg = open(WIDTH, HEIGHT, label);
    let most = points(goodput).map(|point| point.offered_per_second);
    let most = most.fold(STEP, f64::max);
    let x = |point: &Point| LEFT + point.offered_per_second / most * (RIGHT - LEFT);
    title(&mut svg, SHARES, "Members' frames delivered, %");
    for percent in [0, 25, 50, 75, 100] {
        level(
            &mut svg,
            share_y(f64::from(percent) / 100.0),
            &percent.to_string(),
        );
    }
    columns(&mut svg, SHARES, most);
    curves(&mut svg, goodput, |point| {
        (x(point), share_y(point.share()))
    });
    knee(&mut svg, goodput, x);
    title(&mut svg, DELAYS, "Delay that 99 % of them stay below");
    for (power, name) in [
        (1.0, "10 us"),
        (2.0, "100 us"),
        (3.0, "1 ms"),
        (4.0, "10 ms"),
        (5.0, "100 ms"),
    ] {
        level(&mut svg, power_y(power), name);
    }
    columns(&mut svg, DELAYS, most);
    curves(&mut svg, goodput, |point| (x(point), delay_y(point)));
    let _ = writeln!(
        svg,
        "<text class=\"s\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">forged frames a second, million</text>",
        f64::midpoint(LEFT, RIGHT),
        DELAYS.1 + 38.0
    );
    svg.push_str("</svg>\n");
    svg
}

fn points(goodput: &Goodput) -> impl Iterator<Item = &Point> {
    goodput.with_filter.iter().chain(&goodput.without_filter)
}

fn share_y(share: f64) -> f64 {
    SHARES.1 - share.clamp(0.0, 1.0) * (SHARES.1 - SHARES.0)
}

fn power_y(power: f64) -> f64 {
    let (least, most) = POWERS;
    DELAYS.1 - (power.clamp(least, most) - least) / (most - least) * (DELAYS.1 - DELAYS.0)
}

fn delay_y(point: &Point) -> f64 {
    power_y(point.p99_microseconds.max(1.0).log10())
}

fn title(svg: &mut String, field: (f64, f64), words: &str) {
    let _ = writeln!(
        svg,
        "<text class=\"t\" x=\"{LEFT}\" y=\"{}\">{words}</text>",
        field.0 - 18.0
    );
}

fn level(svg: &mut String, y: f64, name: &str) {
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"var(--faint)\"/><text x=\"{}\" y=\"{:.1}\" \
         text-anchor=\"end\">{name}</text>",
        LEFT - 8.0,
        y + 4.0
    );
}

fn columns(svg: &mut String, (top, bottom): (f64, f64), most: f64) {
    for number in 0..=(most / STEP) as u32 {
        let x = LEFT + f64::from(number) * STEP / most * (RIGHT - LEFT);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"var(--faint)\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\">{number}</text>",
            bottom + 18.0
        );
    }
}

fn curves(svg: &mut String, goodput: &Goodput, place: impl Fn(&Point) -> (f64, f64)) {
    let mut ends = Vec::new();
    for (points, name) in [
        (&goodput.with_filter, WITH),
        (&goodput.without_filter, WITHOUT),
    ] {
        let places: Vec<(f64, f64)> = points.iter().map(&place).collect();
        curve(svg, &places, name.1);
        ends.extend(places.last().map(|(_, y)| (*y, name)));
    }
    for (y, (name, colour)) in apart(ends) {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" style=\"fill:var({colour});font-weight:600\">{name}</text>",
            RIGHT + 12.0,
            y + 4.0
        );
    }
}

/// Where the ring first overflows with the filter.
fn knee(svg: &mut String, goodput: &Goodput, x: impl Fn(&Point) -> f64) {
    let Some(point) = goodput.with_filter.iter().find(|point| point.overflows()) else {
        return;
    };
    let (x, (top, bottom)) = (x(point), SHARES);
    let _ = writeln!(
        svg,
        "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"var(--e)\" stroke-dasharray=\"5 3\"/><text class=\"s\" \
         x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">from here on the receive ring overflows</text>",
        x - 6.0,
        bottom - 8.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(offered: f64, ring_lost: f64, delivered: u64) -> Point {
        Point {
            offered_per_second: offered,
            ring_lost,
            sent: 100,
            delivered,
            p50_microseconds: 10.0,
            p99_microseconds: 40.0,
        }
    }

    #[test]
    fn both_curves_are_drawn_twice_and_the_knee_once() {
        let goodput = Goodput {
            members_per_second: 1,
            seconds_per_point: 1.0,
            with_filter: vec![point(0.0, 0.0, 100), point(3e6, 0.2, 80)],
            without_filter: vec![point(0.0, 0.0, 100), point(3e6, 0.9, 5)],
        };
        let svg = plot(&goodput);
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches("overflows").count(), 1);
        assert!(share_y(0.05) > share_y(0.8));
        let calm = Goodput {
            with_filter: vec![point(0.0, 0.0, 100)],
            ..goodput
        };
        assert_eq!(plot(&calm).matches("overflows").count(), 0);
    }
}
