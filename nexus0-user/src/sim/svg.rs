//! One run as a picture: a row for each node, coloured by whom it follows, with every fault at its time.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use nexus0_core::sim::{Doing, Report, Timeline};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 62.0;
const LINE: f64 = 17.0;
/// Marks with a number and a line in the list; more have only their place.
const LISTED: usize = 40;
const COLUMNS: usize = 3;

/// Told apart with most kinds of colour vision, on white and on black (after Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#3f88c5", "#e07b39", "#2a9d6f", "#b667b0", "#c9a227", "#cf5060", "#4fb3bf", "#8d7b68",
];

const STYLE: &str = "\
text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1b1f24}
.title{font-size:15px;font-weight:600}.dim{fill:#5b6570}
.paper{fill:#fff}.alone{fill:#d7dce1}.down{fill:none;stroke:#c4cbd2;stroke-dasharray:2 3}
.axis{stroke:#c4cbd2}.turn{stroke:#1b1f24;stroke-opacity:.22}
.cut{stroke:#c0392b;stroke-dasharray:5 3}.dot{fill:#c0392b}.number{fill:#fff;font-size:9px;font-weight:600}
.reign{fill:none;stroke:#1b1f24;stroke-width:1.5}
@media(prefers-color-scheme:dark){text{fill:#e6e9ec}.dim{fill:#9aa5b1}.paper{fill:#14181c}
.alone{fill:#3a424b}.down{stroke:#4a545f}.axis{stroke:#3a424b}.turn{stroke:#e6e9ec;stroke-opacity:.25}
.cut{stroke:#ff7b6b}.dot{fill:#d9483b}.number{fill:#fff}.reign{stroke:#e6e9ec}}";

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
        let height = self.bottom() + 62.0 + LINE * lines as f64;
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
        for anchor in anchors.into_iter().take(8) {
            let _ = write!(
                self.text,
                "<rect x=\"{x}\" y=\"35\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{}\"/>\
                 <text class=\"dim\" x=\"{}\" y=\"45\">follows node-{anchor}</text>",
                colour(anchor),
                x + 16.0
            );
            x += 112.0;
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
        let from = self.bottom() + 44.0;
        let rows = marks.len().div_ceil(COLUMNS).max(1);
        let column = (WIDTH - LEFT - RIGHT) / COLUMNS as f64;
        for (index, (at, host, what)) in marks.iter().enumerate() {
            let who = host.map_or(String::new(), |host| format!("node-{host} "));
            let words = format!("{} {who}{what}", label(*at));
            let x = self.x(*at);
            let y = if let Some(host) = host {
                self.y(*host) + self.row * 0.5
            } else {
                let _ = write!(
                    self.text,
                    "<path class=\"cut\" d=\"M{x:.1} {:.1}V{:.1}\"/>",
                    TOP - 4.0,
                    self.bottom()
                );
                TOP - 6.0
            };
            self.dot(x, y, index + 1, listed, &words);
            if listed {
                let (x, y) = (
                    LEFT + column * (index / rows) as f64 + 6.0,
                    from + LINE * (index % rows) as f64,
                );
                self.dot(x, y - 4.0, index + 1, true, &words);
                let _ = write!(
                    self.text,
                    "<text x=\"{:.1}\" y=\"{y:.1}\">{words}</text>",
                    x + 13.0
                );
            }
        }
    }

    fn dot(&mut self, x: f64, y: f64, number: usize, numbered: bool, words: &str) {
        let radius = if numbered { 7.0 } else { 2.5 };
        let _ = write!(
            self.text,
            "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{words}</title></circle>"
        );
        if numbered {
            let _ = write!(
                self.text,
                "<text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{number}</text>",
                y + 3.2
            );
        }
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
