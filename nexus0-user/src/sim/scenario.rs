//! Scenario files: a mesh and what is done to it at which time, in TOML.

use std::time::Duration;

use nexus0_common::wire::{HIGHEST_VERSION, LOWEST_VERSION};
use nexus0_core::sim::{Act, Conditions, Expect, Lie, Step, Who};
use serde::Deserialize;

use crate::cli::duration;

/// A scenario as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Scenario {
    /// What it shows.
    pub(crate) name: Option<String>,
    /// One ego for each node.
    pub(crate) egos: Option<Vec<u8>>,
    /// Or so many nodes.
    pub(crate) nodes: Option<usize>,
    pub(crate) pulse: Option<String>,
    pub(crate) epoch: Option<String>,
    pub(crate) length: String,
    /// Parts per million.
    pub(crate) drift: Option<u32>,
    /// Whether a killed controller goes on from a snapshot.
    #[serde(default)]
    pub(crate) store: bool,
    #[serde(default)]
    pub(crate) link: Link,
    /// Whether all faults end at the end, and a mesh, a quiet time, a failover and a join are demanded.
    #[serde(default)]
    pub(crate) ending: bool,
    #[serde(default)]
    step: Vec<Entry>,
}

/// `[link]`, and the keys of `do = "link"`: percent and times.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Link {
    loss: Option<f64>,
    dup: Option<f64>,
    delay: Option<[String; 2]>,
    reorder: Option<String>,
}

/// `[[step]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    at: String,
    r#do: Deed,
    node: Option<Node>,
    r#for: Option<String>,
    parts: Option<Vec<Vec<usize>>>,
    from: Option<Vec<usize>>,
    to: Option<Vec<usize>>,
    loss: Option<f64>,
    dup: Option<f64>,
    delay: Option<[String; 2]>,
    reorder: Option<String>,
    ego: Option<u8>,
    rate: Option<u32>,
    lie: Option<Untruth>,
    by: Option<Node>,
    wire: Option<u8>,
    anchors: Option<usize>,
    anchor: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    Partition,
    OneWay,
    Heal,
    Kill,
    Start,
    Reboot,
    LoseDisk,
    Suspend,
    Stall,
    Unplug,
    Renumber,
    Leave,
    Add,
    Link,
    Lossy,
    Strangers,
    Lie,
    Revoke,
    Replace,
    Expect,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Node {
    Host(usize),
    Part(Part),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Part {
    Anchor,
    Follower,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Untruth {
    ForgeAnn,
    Spam,
    Promote,
    Equivocate,
    AnnounceOld,
    ReviveDead,
}

impl Scenario {
    /// Reads a scenario; errors name the line, the key and what is allowed.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let hint = suggestion(error.message());
            format!("{error}{hint}")
        })
    }

    /// The steps, checked against the number of nodes.
    pub(crate) fn steps(&self, nodes: usize) -> Result<Vec<Step>, String> {
        let mut hosts = nodes;
        let mut steps = Vec::new();
        for (index, entry) in self.step.iter().enumerate() {
            let wrong = |what: String| format!("step {} ({:?}): {what}", index + 1, entry.r#do);
            if matches!(entry.r#do, Deed::Add) {
                hosts += 1;
            }
            entry.check(hosts).map_err(wrong)?;
            let at = time("at", &entry.at).map_err(wrong)?;
            let act = entry.act().map_err(wrong)?;
            steps.push(Step { at, act });
        }
        Ok(steps)
    }
}

impl Link {
    pub(crate) fn conditions(&self) -> Result<Conditions, String> {
        let delay = match &self.delay {
            Some([least, most]) => (time("delay", least)?, time("delay", most)?),
            None => (Duration::from_millis(1), Duration::from_millis(5)),
        };
        if delay.0 > delay.1 {
            return Err("delay: the least comes first".into());
        }
        let reorder = self
            .reorder
            .as_deref()
            .map_or(Ok(Duration::ZERO), |text| time("reorder", text))?;
        Ok(Conditions {
            loss: per_mille("loss", self.loss)?,
            duplication: per_mille("dup", self.dup)?,
            delay: (delay.0.as_millis() as u64, delay.1.as_millis() as u64),
            reorder: reorder.as_millis() as u64,
        })
    }
}

impl Entry {
    fn act(&self) -> Result<Act, String> {
        Ok(match self.r#do {
            Deed::Partition => Act::Partition(needed("parts", self.parts.as_ref())?.clone()),
            Deed::OneWay => {
                let (from, to) = (
                    needed("from", self.from.as_ref())?,
                    needed("to", self.to.as_ref())?,
                );
                Act::OneWay(from.clone(), to.clone())
            }
            Deed::Heal => Act::Heal,
            Deed::Kill => Act::Kill(self.who()?, self.span()?),
            Deed::Start => match self.who()? {
                Who::Host(host) => Act::Start(host),
                _ => return Err("`node` must be a number here".into()),
            },
            Deed::Reboot => Act::Reboot(self.who()?),
            Deed::LoseDisk => Act::Wipe(self.who()?),
            Deed::Suspend => Act::Suspend(self.who()?, needed("for", self.span()?)?),
            Deed::Stall => Act::Stall(self.who()?, needed("for", self.span()?)?),
            Deed::Unplug => Act::Flap(self.who()?, needed("for", self.span()?)?),
            Deed::Renumber => Act::Renumber(self.who()?),
            Deed::Leave => Act::Leave(self.who()?, self.span()?),
            Deed::Add => Act::Add(needed("ego", self.ego)?),
            Deed::Link => Act::Link(self.link().conditions()?),
            Deed::Lossy => {
                let (from, to) = (
                    needed("from", self.from.as_ref())?,
                    needed("to", self.to.as_ref())?,
                );
                let ([from], [to]) = (from.as_slice(), to.as_slice()) else {
                    return Err("`from` and `to` each name one node here".into());
                };
                Act::Lossy(
                    *from,
                    *to,
                    per_mille("loss", Some(needed("loss", self.loss)?))?,
                )
            }
            Deed::Strangers => Act::Strangers(needed("rate", self.rate)?),
            Deed::Lie => Act::Lie(self.who()?, needed("lie", self.lie)?.lie()),
            Deed::Revoke => Act::Revoke(self.who()?, needed("by", self.by)?.who()),
            Deed::Replace => Act::Replace(self.who()?, self.version()?),
            Deed::Expect => self.expectation(),
        })
    }

    fn expectation(&self) -> Act {
        Act::Expect(match (self.anchor, self.anchors) {
            (Some(host), _) => Expect::Anchor(host),
            (None, Some(count)) => Expect::Anchors(count),
            (None, None) => Expect::Agreement,
        })
    }

    fn link(&self) -> Link {
        Link {
            loss: self.loss,
            dup: self.dup,
            delay: self.delay.clone(),
            reorder: self.reorder.clone(),
        }
    }

    fn who(&self) -> Result<Who, String> {
        Ok(needed("node", self.node)?.who())
    }

    fn version(&self) -> Result<u8, String> {
        let wire = needed("wire", self.wire)?;
        if (LOWEST_VERSION..=HIGHEST_VERSION).contains(&wire) {
            return Ok(wire);
        }
        Err(format!(
            "wire = {wire}: allowed are {LOWEST_VERSION} to {HIGHEST_VERSION}"
        ))
    }

    fn span(&self) -> Result<Option<Duration>, String> {
        self.r#for
            .as_deref()
            .map(|text| time("for", text))
            .transpose()
    }

    /// Every node named exists.
    fn check(&self, hosts: usize) -> Result<(), String> {
        let named = [self.node, self.by].into_iter().flatten();
        let nodes = named.filter_map(|node| match node {
            Node::Host(host) => Some(host),
            Node::Part(_) => None,
        });
        let lists = [&self.from, &self.to]
            .into_iter()
            .flatten()
            .flatten()
            .copied();
        let parts = self.parts.iter().flatten().flatten().copied();
        let mut all = nodes.chain(self.anchor).chain(lists).chain(parts);
        match all.find(|host| *host >= hosts) {
            Some(host) => Err(format!(
                "there is no node {host}; allowed are 0 to {}",
                hosts - 1
            )),
            None => Ok(()),
        }
    }
}

impl Node {
    fn who(self) -> Who {
        match self {
            Self::Host(host) => Who::Host(host),
            Self::Part(Part::Anchor) => Who::Anchor,
            Self::Part(Part::Follower) => Who::Follower,
        }
    }
}

impl Untruth {
    fn lie(self) -> Lie {
        match self {
            Self::ForgeAnn => Lie::ForgeAnn,
            Self::Spam => Lie::Spam,
            Self::Promote => Lie::Promote,
            Self::Equivocate => Lie::Equivocate,
            Self::AnnounceOld => Lie::AnnounceOld,
            Self::ReviveDead => Lie::ReviveDead,
        }
    }
}

fn needed<T>(key: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| format!("needs `{key}`"))
}

pub(crate) fn time(key: &str, text: &str) -> Result<Duration, String> {
    duration(text).map_err(|allowed| format!("{key} = {text:?}: {allowed}"))
}

/// Percent, to parts per thousand.
pub(crate) fn per_mille(key: &str, percent: Option<f64>) -> Result<u64, String> {
    let percent = percent.unwrap_or(0.0);
    if !(0.0..=100.0).contains(&percent) {
        return Err(format!("{key} = {percent}: allowed are 0 to 100 percent"));
    }
    Ok((percent * 10.0).round() as u64)
}

/// What was probably meant by an unknown key or word.
fn suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let Some(given) = quoted.next().filter(|_| message.starts_with("unknown")) else {
        return String::new();
    };
    nearest(given, quoted).map_or(String::new(), |near| format!("did you mean `{near}`?\n"))
}

/// The word nearest to the one given, if any is near.
pub(crate) fn nearest<'a>(given: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    words
        .map(|word| (strsim::damerau_levenshtein(given, word), word))
        .filter(|(distance, word)| *distance <= 1 + word.len() / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_a_suggestion() {
        let error = Scenario::parse("length = \"1m\"\n[link]\nlos = 3\n").unwrap_err();
        assert!(
            error.contains("line 3") && error.contains("did you mean `loss`?"),
            "{error}"
        );
        let error = Scenario::parse("length = \"1m\"\n[[step]]\nat = \"1s\"\ndo = \"partion\"\n")
            .unwrap_err();
        assert!(error.contains("did you mean `partition`?"), "{error}");
    }

    #[test]
    fn steps_name_what_they_lack_and_nodes_that_are_not_there() {
        let steps = |text: &str| Scenario::parse(text).unwrap().steps(3).unwrap_err();
        let head = "length = \"1m\"\n[[step]]\nat = \"1s\"\n";
        let error = steps(&format!("{head}do = \"partition\"\n"));
        assert_eq!(error, "step 1 (Partition): needs `parts`");
        let error = steps(&format!("{head}do = \"kill\"\nnode = 3\n"));
        assert_eq!(
            error,
            "step 1 (Kill): there is no node 3; allowed are 0 to 2"
        );
        let error = steps(&format!("{head}do = \"link\"\nloss = 101\n"));
        assert!(error.contains("0 to 100 percent"), "{error}");
        let error = steps(&format!(
            "{head}do = \"stall\"\nnode = \"anchor\"\nfor = \"5\"\n"
        ));
        assert!(error.contains("such as 500ms"), "{error}");
    }
}
