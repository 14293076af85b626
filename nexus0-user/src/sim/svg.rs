//! One run as a picture: a row for each node, coloured by whom it follows, with every fault at its time.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use nexus0_core::sim::{Doing, Report, Timeline};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 62.0;
const LINE: f64 = 17.0;
/// Marks with a number and a line in the list; more have only their place.
const LISTED: usize = 40;
const COLUMNS: usize = 3;
/// From the last row down to the signs, and to the list.
const SIGNS: f64 = 42.0;
const LIST: f64 = 70.0;
/// Between two numbered dots of one row.
const GAP: f64 = 15.0;
/// Leaders with their colour in the heading.
const NAMED: usize = 8;

/// Told apart with most kinds of colour vision, on white and on black (after Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#3f88c5", "#e07b39", "#2a9d6f", "#b667b0", "#c9a227", "#cf5060", "#4fb3bf", "#8d7b68",
];

const STYLE: &str = "\
text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1b1f24}
.title{font-size:15px;font-weight:600}.dim{fill:#5b6570}
.paper{fill:#fff}.alone{fill:#d7dce1}.down{fill:none;stroke:#8a949e;stroke-dasharray:2 3}
.axis{stroke:#c4cbd2}.turn{stroke:#1b1f24;stroke-opacity:.3}
.cut{stroke:#1b1f24;stroke-dasharray:5 3}.fault{stroke:#1b1f24;stroke-width:2}
.dot{fill:#1b1f24;stroke:#fff}.number{fill:#fff;font-size:9px;font-weight:600}
.reign{fill:none;stroke:#1b1f24;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#e6e9ec}.dim{fill:#9aa5b1}.paper{fill:#14181c}
.alone{fill:#3a424b}.down{stroke:#7d8894}.axis{stroke:#3a424b}.turn{stroke:#e6e9ec;stroke-opacity:.35}
.cut,.fault{stroke:#e6e9ec}.dot{fill:#e6e9ec;stroke:#14181c}.number{fill:#14181c}.reign{stroke:#e6e9ec}}";

/// The picture. A report without a timeline gives an empty one.
pub(crate) fn picture(report: &Report) -> String {
    let empty = Timeline::default();
    let timeline = report.timeline.as_ref().unwrap_or(&empty);
    Picture::new(report, timeline).draw()
}

struct Picture<'a> {
    report: &'a Report,
    timeline: &'a Timeline,
    row: f64,
    text: String,
}

impl<'a> Picture<'a> {
    fn new(report: &'a Report, timeline: &'a Timeline) -> Self {
        let row = (600.0 / report.hosts.max(1) as f64).clamp(4.0, 24.0);
        Self {
            report,
            timeline,
            row,
            text: String::new(),
        }
    }

    fn x(&self, at: Duration) -> f64 {
        let share = at.as_secs_f64() / self.report.lasted.as_secs_f64().max(1e-9);
        LEFT + share.min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, host: usize) -> f64 {
        TOP + self.row * host as f64
    }

    fn bottom(&self) -> f64 {
        self.y(self.report.hosts)
    }

    fn draw(mut self) -> String {
        let marks: Vec<_> = self
            .timeline
            .marks
            .iter()
            .filter(|mark| listed(&mark.2))
            .collect();
        let lines = if marks.len() <= LISTED {
            marks.len().div_ceil(COLUMNS)
        } else {
            0
        };
        let height = self.bottom() + LIST + LINE * lines as f64;
        let _ = write!(
            self.text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
             height=\"{height:.0}\" role=\"img\"><title>Who followed whom</title><style>{STYLE}</style>\
             <rect class=\"paper\" width=\"100%\" height=\"100%\"/>"
        );
        self.heading();
        self.axis();
        (0..self.report.hosts).for_each(|host| self.life(host));
        self.turns();
        self.signs(marks.len());
        self.marks(&marks);
        self.text + "</svg>\n"
    }

    fn heading(&mut self) {
        let report = self.report;
        let _ = write!(
            self.text,
            "<text class=\"title\" x=\"{LEFT}\" y=\"24\">{} nodes, seed {}</text><text class=\"dim\" x=\"{}\" y=\"24\" \
             text-anchor=\"end\">{} changes of anchor, {} violations</text>",
            report.hosts,
            report.seed,
            WIDTH - RIGHT,
            report.tally.anchor_changes,
            report.violated
        );
        let anchors: BTreeSet<usize> = self.anchors().collect();
        let mut x = LEFT;
        self.dim(x, 45.0, "follows");
        x += 50.0;
        for anchor in anchors.iter().take(NAMED) {
            let _ = write!(
                self.text,
                "<rect x=\"{x}\" y=\"35\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{}\"/>",
                colour(*anchor)
            );
            self.dim(x + 16.0, 45.0, &format!("node-{anchor}"));
            x += 80.0;
        }
        if anchors.len() > NAMED {
            let more = format!("and {} more, on hover", anchors.len() - NAMED);
            self.dim(x, 45.0, &more);
        }
    }

    fn dim(&mut self, x: f64, y: f64, words: &str) {
        let _ = write!(
            self.text,
            "<text class=\"dim\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
        );
    }

    /// What the signs in the rows mean.
    fn signs(&mut self, marks: usize) {
        let y = self.bottom() + SIGNS;
        let signs = [
            (
                "<rect class=\"reign\" y=\"-9\" width=\"16\" height=\"10\"/>",
                "leads",
            ),
            (
                "<rect class=\"alone\" y=\"-9\" width=\"16\" height=\"10\"/>",
                "alone or joining",
            ),
            ("<path class=\"down\" d=\"M0 -4h16\"/>", "down"),
            ("<path class=\"turn\" d=\"M8 -10v12\"/>", "turns the key"),
            (
                "<path class=\"cut\" d=\"M8 -11v13\"/>",
                "change of the link",
            ),
            ("<path class=\"fault\" d=\"M8 -10v12\"/>", "fault"),
        ];
        let mut x = LEFT;
        for (sign, words) in signs {
            let _ = write!(
                self.text,
                "<g transform=\"translate({x:.1} {y:.1})\">{sign}</g>"
            );
            self.dim(x + 22.0, y, words);
            x += 46.0 + 6.2 * words.len() as f64;
        }
        if marks > LISTED {
            self.dim(x, y, &format!("{marks} faults, named on hover"));
        }
    }

    fn anchors(&self) -> impl Iterator<Item = usize> {
        self.timeline
            .changes
            .iter()
            .filter_map(|(_, _, doing)| match doing {
                Doing::Follows(anchor) => *anchor,
                _ => None,
            })
    }

    fn axis(&mut self) {
        let step = step(self.report.lasted);
        let (top, bottom) = (TOP - 4.0, self.bottom() + 4.0);
        let mut at = Duration::ZERO;
        while at <= self.report.lasted {
            let x = self.x(at);
            let _ = write!(
                self.text,
                "<path class=\"axis\" d=\"M{x:.1} {top}V{bottom:.1}\"/>\
                 <text class=\"dim\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 14.0,
                label(at)
            );
            at += step;
        }
    }

    /// What a host did, from change to change.
    fn life(&mut self, host: usize) {
        let (y, height) = (self.y(host) + self.row * 0.12, self.row * 0.76);
        if self.row >= 9.0 {
            let _ = write!(
                self.text,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">node-{host}</text>",
                LEFT - 8.0,
                y + height * 0.5 + 4.0
            );
        }
        let timeline = self.timeline;
        let mut changes = timeline
            .changes
            .iter()
            .filter(|(_, other, _)| *other == host)
            .peekable();
        while let Some((at, _, doing)) = changes.next() {
            let end = changes.peek().map_or(self.report.lasted, |(at, ..)| *at);
            let (x, width) = (self.x(*at), (self.x(end) - self.x(*at)).max(0.4));
            match doing {
                Doing::Down => {
                    let middle = y + height * 0.5;
                    let _ = write!(
                        self.text,
                        "<path class=\"down\" d=\"M{x:.1} {middle:.1}h{width:.1}\"/>"
                    );
                }
                Doing::Alone | Doing::Follows(None) => {
                    let _ = write!(
                        self.text,
                        "<rect class=\"alone\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
                    );
                }
                Doing::Follows(Some(anchor)) => {
                    let reign = if *anchor == host {
                        " class=\"reign\""
                    } else {
                        ""
                    };
                    let _ = write!(
                        self.text,
                        "<rect{reign} style=\"fill:{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                         height=\"{height:.1}\"><title>node-{host} follows node-{anchor} from {}</title></rect>",
                        colour(*anchor),
                        label(*at)
                    );
                }
            }
        }
    }

    fn turns(&mut self) {
        let timeline = self.timeline;
        for (at, host, what) in &timeline.marks {
            if let Some(host) = host
                && what.starts_with("turns")
            {
                let (x, y) = (self.x(*at), self.y(*host));
                let _ = write!(
                    self.text,
                    "<path class=\"turn\" d=\"M{x:.1} {y:.1}v{:.1}\"><title>turns the key at {}</title></path>",
                    self.row,
                    label(*at)
                );
            }
        }
    }

    fn marks(&mut self, marks: &[&(Duration, Option<usize>, String)]) {
        let listed = marks.len() <= LISTED;
        let rows = marks.len().div_ceil(COLUMNS).max(1);
        let places = self.places(marks);
        for (index, ((at, host, what), place)) in marks.iter().zip(places).enumerate() {
            let who = host.map_or(String::new(), |host| format!("node-{host} "));
            let (time, what) = (label(*at), format!("{who}{what}"));
            let words = format!("{time} {what}");
            let x = self.x(*at);
            let y = if let Some(host) = host {
                let y = self.y(*host);
                let _ = write!(
                    self.text,
                    "<path class=\"fault\" d=\"M{x:.1} {y:.1}v{:.1}\"/>",
                    self.row
                );
                y + self.row * 0.5
            } else {
                let (top, bottom) = (TOP - 4.0, self.bottom());
                let _ = write!(
                    self.text,
                    "<path class=\"cut\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/>"
                );
                TOP - 6.0
            };
            if listed {
                self.dot(place, y, index + 1, &words);
                self.entry(index, rows, &time, &what);
            } else {
                self.speck(x, y, &words);
            }
        }
    }

    /// Where the dots of the marks stand: at their times, pushed apart within each row.
    fn places(&self, marks: &[&(Duration, Option<usize>, String)]) -> Vec<f64> {
        let mut places: Vec<f64> = marks.iter().map(|(at, ..)| self.x(*at)).collect();
        let lanes: BTreeSet<Option<usize>> = marks.iter().map(|(_, host, _)| *host).collect();
        for lane in lanes {
            let mut dots: Vec<&mut f64> = marks
                .iter()
                .zip(&mut places)
                .filter_map(|((_, host, _), place)| (*host == lane).then_some(place))
                .collect();
            apart(&mut dots);
        }
        places
    }

    /// A line of the list: number, time, words.
    fn entry(&mut self, index: usize, rows: usize, time: &str, what: &str) {
        let column = (WIDTH - LEFT - RIGHT) / COLUMNS as f64;
        let x = LEFT + column * (index / rows) as f64 + 7.0;
        let y = self.bottom() + LIST + LINE * (index % rows) as f64;
        self.dot(x, y - 4.0, index + 1, &format!("{time} {what}"));
        let _ = write!(
            self.text,
            "<text class=\"dim\" x=\"{:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{time}</text>\
             <text x=\"{:.1}\" y=\"{y:.1}\">{what}</text>",
            x + 76.0,
            x + 84.0
        );
    }

    fn dot(&mut self, x: f64, y: f64, number: usize, words: &str) {
        let _ = write!(
            self.text,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"7\"><title>{words}</title></circle>\
             <text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{number}</text>",
            y + 3.2
        );
    }

    fn speck(&mut self, x: f64, y: f64, words: &str) {
        let _ = write!(
            self.text,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{words}</title></circle>"
        );
    }
}

/// Pushes dots to the right where they would meet, and back where the last would leave the picture.
fn apart(dots: &mut [&mut f64]) {
    let mut free = LEFT + GAP / 2.0;
    for dot in &mut *dots {
        **dot = dot.max(free);
        free = **dot + GAP;
    }
    let mut limit = WIDTH - RIGHT;
    for dot in dots.iter_mut().rev() {
        **dot = dot.min(limit);
        limit = **dot - GAP;
    }
}

/// Whether a mark is a fault or its end, and not the mesh's own doing.
fn listed(what: &str) -> bool {
    !what.starts_with("turns") && what != "starts"
}

fn colour(anchor: usize) -> String {
    match COLOURS.get(anchor) {
        Some(colour) => (*colour).to_owned(),
        None => format!("hsl({},55%,52%)", anchor * 137 % 360),
    }
}

/// Between two labels of the axis.
fn step(lasted: Duration) -> Duration {
    let choices = [
        1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 86400,
    ];
    let fits = choices
        .into_iter()
        .find(|step| lasted.as_secs() / step <= 12);
    Duration::from_secs(fits.unwrap_or(lasted.as_secs() / 10 + 1))
}

fn label(at: Duration) -> String {
    let seconds = at.as_secs_f64();
    if seconds < 120.0 {
        let text = format!("{seconds:.1}");
        return format!("{} s", text.trim_end_matches(".0"));
    }
    let whole = at.as_secs();
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes}:{seconds:02} min"),
        (hours, minutes, _) => format!("{hours}:{minutes:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_dots_of_one_row_neither_hide_each_other_nor_leave_the_picture() {
        let end = WIDTH - RIGHT;
        let mut places = [LEFT, LEFT + 1.0, 500.0, end - 1.0, end];
        apart(&mut places.each_mut());
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= GAP));
        assert!(places[0] > LEFT && (500.0..=500.0).contains(&places[2]) && places[4] <= end);
    }
}
