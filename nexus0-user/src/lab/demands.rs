//! What must hold of what was asked for, what was measured, and whether it does. Pure.

use serde::Serialize;

/// One demand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Demand {
    /// About what.
    pub what: &'static str,
    /// What must hold.
    pub demanded: String,
    /// What was found.
    pub measured: String,
    /// Whether it holds.
    pub met: bool,
}

impl Demand {
    /// A value that must not be above a bound; nothing measured is not met.
    pub fn at_most(what: &'static str, bound: f64, unit: &str, measured: Option<f64>) -> Self {
        Self {
            what,
            demanded: format!("at most {bound:.0} {unit}"),
            measured: measured.map_or("nothing".into(), |value| format!("{value:.0} {unit}")),
            met: measured.is_some_and(|value| value <= bound),
        }
    }

    /// A count that must be exactly this.
    pub fn exactly(what: &'static str, wanted: u64, measured: u64) -> Self {
        Self {
            what,
            demanded: wanted.to_string(),
            measured: measured.to_string(),
            met: measured == wanted,
        }
    }

    /// A share in percent that must be what chance makes of the demanded one: within four standard
    /// deviations of the mean of `count` draws.
    pub fn share(what: &'static str, percent: f64, hits: u64, count: u64) -> Self {
        let (wanted, count) = (percent / 100.0, count as f64);
        let slack = 4.0 * (wanted * (1.0 - wanted) / count.max(1.0)).sqrt();
        let measured = hits as f64 / count.max(1.0);
        Self {
            what,
            demanded: format!("{percent} % +- {:.2}", 100.0 * slack),
            measured: format!("{:.2} % of {count}", 100.0 * measured),
            met: count > 0.0 && (measured - wanted).abs() <= slack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_meets_nothing() {
        assert!(!Demand::at_most("heal", 6000.0, "ms", None).met);
        assert!(!Demand::share("loss", 0.0, 0, 0).met);
        assert!(Demand::at_most("heal", 6000.0, "ms", Some(6000.0)).met);
        assert!(!Demand::at_most("heal", 6000.0, "ms", Some(6001.0)).met);
    }

    #[test]
    fn a_share_may_be_off_by_chance_and_no_more() {
        assert!(Demand::share("loss", 10.0, 1_030, 10_000).met);
        assert!(!Demand::share("loss", 10.0, 1_130, 10_000).met);
        assert!(!Demand::share("loss", 10.0, 0, 10_000).met);
        assert!(Demand::share("loss", 100.0, 10_000, 10_000).met);
        assert!(!Demand::share("loss", 100.0, 9_999, 10_000).met);
    }

    #[test]
    fn a_count_is_met_by_itself_alone() {
        assert!(Demand::exactly("lost", 0, 0).met);
        assert!(!Demand::exactly("lost", 0, 1).met);
    }
}
