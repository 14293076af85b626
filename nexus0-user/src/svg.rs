//! What hand-written pictures of curves share: colours for light and dark, lines, names beside them.

use std::fmt::Write;

/// Between two lines of text.
const LINE: f64 = 15.0;

/// Colours by name: `--ink`, `--faint` and `--paper`; `--a` to `--d` for curves, `--e` for remarks. Classes
/// of text: `t` for titles, `s` for what matters less.
const STYLE: &str = "\
svg{--ink:#1f2328;--faint:#d0d7de;--paper:#ffffff;--a:#0969da;--b:#cf222e;--c:#9a6700;--d:#1a7f37;--e:#59636e}\
@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--faint:#30363d;--paper:#0d1117;--a:#58a6ff;--b:#ff7b72;\
--c:#d29922;--d:#3fb950;--e:#9198a1}}\
text{font:12px system-ui,sans-serif;fill:var(--ink)}.t{font-size:15px;font-weight:600}.s{fill:var(--e)}";

/// The beginning of a picture, to be ended by `</svg>`; the label is what those hear who cannot see it.
pub fn open(width: f64, height: f64, label: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{label}\">\n<style>{STYLE}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"var(--paper)\"/>\n"
    )
}

/// A line through points, each of them marked.
pub fn curve(svg: &mut String, points: &[(f64, f64)], colour: &str) {
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

/// Words at their heights, pushed down where they would meet.
pub fn apart<T>(mut words: Vec<(f64, T)>) -> Vec<(f64, T)> {
    words.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = f64::MIN;
    for (y, _) in &mut words {
        *y = y.max(free);
        free = *y + LINE;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_curves_that_meet_stand_below_each_other() {
        let heights: Vec<f64> = apart(vec![(30.0, ()), (10.0, ()), (11.0, ())])
            .iter()
            .map(|(y, ())| *y)
            .collect();
        assert_eq!(heights, [10.0, 25.0, 40.0]);
    }
}
