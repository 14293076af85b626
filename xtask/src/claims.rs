//! Whether docs/REQUIREMENTS.md still tells the truth: every requirement is there and cited in the code, and every
//! test that is said to show it exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::paths;

/// Folders that hold code.
const CODE: [&str; 5] = [
    "nexus0-common",
    "nexus0-ebpf",
    "nexus0-user",
    "benches",
    "xtask",
];
/// The requirements, R1 to this.
const LAST: usize = 19;

/// Compares the table with the tree.
pub(crate) fn check() -> Result<()> {
    let path = paths::root().join("docs/REQUIREMENTS.md");
    let table = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut code = String::new();
    for folder in CODE {
        read_into(&paths::root().join(folder), &mut code)?;
    }
    let wrong = compare(&table, &code);
    ensure!(
        wrong.is_empty(),
        "docs/REQUIREMENTS.md:\n  {}",
        wrong.join("\n  ")
    );
    Ok(())
}

fn read_into(folder: &Path, code: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            read_into(&path, code)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// What is wrong, in words.
fn compare(table: &str, code: &str) -> Vec<String> {
    let (claims, tests) = (claims(table), tests(code));
    let mut wrong = Vec::new();
    for id in (1..=LAST).map(|number| format!("R{number}")) {
        let Some(shown_by) = claims.get(&id) else {
            wrong.push(format!("{id} is missing"));
            continue;
        };
        if shown_by.is_empty() {
            wrong.push(format!("{id} names no test"));
        }
        if !words(code).any(|word| word == id) {
            wrong.push(format!("{id} is cited nowhere in the code"));
        }
        let missing = shown_by.iter().filter(|test| !tests.contains(*test));
        wrong.extend(missing.map(|test| format!("{id}: there is no test {test}")));
    }
    wrong
}

/// The tests each row names in its last column.
fn claims(table: &str) -> BTreeMap<String, Vec<String>> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
        let [id, .., shown_by, ""] = cells[..] else {
            return None;
        };
        let quoted = shown_by.split('`').skip(1).step_by(2);
        id.strip_prefix('R')?.parse::<usize>().ok()?;
        Some((id.to_owned(), quoted.map(str::to_owned).collect()))
    };
    table.lines().filter_map(row).collect()
}

/// Names of functions under a test attribute.
fn tests(code: &str) -> BTreeSet<String> {
    let name = |part: &str| {
        let after = part.split_once("fn ")?.1;
        Some(after.split(['(', '<']).next()?.to_owned())
    };
    code.split("#[test]").skip(1).filter_map(name).collect()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> (String, String) {
        let row = |number| format!("| R{number} | holds | `it_holds_{number}` |\n");
        let code =
            |number| format!("// (R{number})\n#[test]\n#[ignore]\nfn it_holds_{number}() {{}}\n");
        (
            (1..=LAST).map(row).collect(),
            (1..=LAST).map(code).collect(),
        )
    }

    #[test]
    fn the_table_in_docs_is_true() {
        check().unwrap();
    }

    #[test]
    fn a_true_table_passes() {
        let (table, code) = whole();
        assert_eq!(compare(&table, &code), Vec::<String>::new());
    }

    #[test]
    fn a_missing_row_test_or_citation_is_named() {
        let (table, code) = whole();
        let without = |text: &str, what: &str| text.replace(what, "");
        assert_eq!(
            compare(&without(&table, "| R7 |"), &code),
            ["R7 is missing"]
        );
        assert_eq!(
            compare(&without(&table, "`it_holds_9`"), &code),
            ["R9 names no test"]
        );
        assert_eq!(
            compare(&table, &without(&code, "(R11)")),
            ["R11 is cited nowhere in the code"]
        );
        assert_eq!(
            compare(&table, &code.replace("it_holds_3(", "it_held_3(")),
            ["R3: there is no test it_holds_3"]
        );
    }
}
