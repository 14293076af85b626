//! The table of frame types, read from PROTOCOL.md itself.

use std::collections::BTreeMap;

const PROTOCOL: &str = include_str!("../../../../PROTOCOL.md");

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) multicast: bool,
    pub(super) unicast: bool,
    pub(super) door: bool,
    /// L where the type fixes it.
    pub(super) length: Option<usize>,
    pub(super) signed: bool,
}

/// All rows by number.
pub(super) fn kinds() -> BTreeMap<u8, Kind> {
    let table = PROTOCOL
        .split("### Types")
        .nth(1)
        .expect("a table of types");
    let rows = table.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| kind(row).unwrap_or_else(|| panic!("PROTOCOL.md: a row of types is off: {row}")))
        .collect()
}

fn kind(row: &'static str) -> Option<(u8, Kind)> {
    let cells: Vec<&'static str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [number, name, class, key, length, signed] = cells[..] else {
        return None;
    };
    let (multicast, unicast) = match class {
        "multicast" => (true, false),
        "unicast" => (false, true),
        "either" => (true, true),
        _ => return None,
    };
    let kind = Kind {
        name,
        multicast,
        unicast,
        door: one_of(key, "door", &["epoch"])?,
        length: match length {
            "any" => None,
            length => Some(length.parse().ok()?),
        },
        signed: one_of(signed, "yes", &["no", "inside"])?,
    };
    Some((number.parse().ok()?, kind))
}

fn one_of(cell: &str, yes: &str, no: &[&str]) -> Option<bool> {
    (cell == yes || no.contains(&cell)).then_some(cell == yes)
}
