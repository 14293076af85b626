//! Output for people: 80 columns, tables, durations in words.

use std::io::{self, Write};
use std::process::exit;

use serde::Serialize;

/// Writes data to standard output. A reader that has gone away, such as `head`, is no error.
pub(crate) fn data(text: &str) {
    let mut out = io::stdout().lock();
    let end: &[u8] = if text.ends_with('\n') { b"" } else { b"\n" };
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end));
    if written.and_then(|()| out.flush()).is_err() {
        exit(0);
    }
}

/// Writes an object as one line of JSON.
pub(crate) fn json(object: &impl Serialize) {
    match serde_json::to_string(object) {
        Ok(text) => data(&text),
        Err(error) => eprintln!("nexus0: {error}"),
    }
}

/// Columns as wide as their widest cell, two spaces apart, nothing behind the last.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let gap = width.saturating_sub(cell.chars().count()) + 2;
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Words in lines of at most 80 columns; the first line after `first`, the others as far in.
pub(crate) fn wrapped(first: &str, words: &str) -> String {
    let margin = " ".repeat(first.chars().count());
    let mut text = String::new();
    let mut line = first.to_owned();
    for word in words.split_whitespace() {
        let used = line.chars().count();
        if used > margin.len() && used + 1 + word.chars().count() > 80 {
            text.push_str(line.trim_end());
            text.push('\n');
            line.clone_from(&margin);
        } else if used > margin.len() {
            line.push(' ');
        }
        line.push_str(word);
    }
    text + line.trim_end() + "\n"
}

/// A row of a [`table`].
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// `850 ms`, `12.4 s`, `3 min 20 s`, `5 h 2 min`, `3 d 4 h`.
pub(crate) fn span_ms(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        0 => format!("{milliseconds} ms"),
        1..60 => format!("{seconds}.{} s", milliseconds % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A number with groups of three: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.2 kB`, in powers of ten.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let mut scaled = number as f64 / 1000.0;
    let mut unit = 0;
    while scaled >= 1000.0 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// What an open mesh does not protect, for everyone who looks at one.
pub(super) fn open_sentence(name: &str) -> String {
    format!(
        "mesh \"{name}\" is OPEN: anyone who knows this name can join, speak under any identity it \
         makes and learn the keys; ego is capped at 50 and nobody can be expelled"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1234567), "1,234,567");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_250_000), "1.2 MB");
        assert_eq!(span_ms(850), "850 ms");
        assert_eq!(span_ms(12_440), "12.4 s");
        assert_eq!(span_ms(200_000), "3 min 20 s");
        assert_eq!(span_ms(86_400_000), "1 d 0 h");
    }

    #[test]
    fn words_are_wrapped_under_their_beginning() {
        let words = ["seven77"; 12].join(" ");
        let text = wrapped("  ! ", &words);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  ! seven77 ") && lines[0].len() <= 80);
        assert!(lines[1].starts_with("    seven77"));
        assert_eq!(wrapped("a: ", "b"), "a: b\n");
    }

    #[test]
    fn a_table_lines_up() {
        let rows = [row(["a", "long", "x"]), row(["bcd", "e", "y"])];
        assert_eq!(table(&rows), "a    long  x\nbcd  e     y\n");
    }
}
