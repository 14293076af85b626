//! The text form of secrets: a title line, a line of hexadecimal digits.

use std::fmt::Write as _;
use std::path::Path;

use zeroize::{Zeroize, Zeroizing};

use super::StoreError;

/// The bytes behind the title; on failure what is wrong, without quoting any of it.
pub(super) fn parse<const N: usize>(
    text: &[u8],
    title: &str,
) -> Result<Zeroizing<[u8; N]>, String> {
    let body = text
        .strip_prefix(title.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"\n"));
    let body = body.ok_or_else(|| format!("it does not begin with the line \"{title}\""))?;
    let digits = body.strip_suffix(b"\n").unwrap_or(body);
    if digits.len() != 2 * N {
        return Err(format!(
            "its second line has {} digits instead of {}",
            digits.len(),
            2 * N
        ));
    }
    let mut bytes = Zeroizing::new([0; N]);
    for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        match (high, low) {
            (Some(high), Some(low)) => *byte = (high << 4 | low) as u8,
            _ => return Err("its second line is not hexadecimal".into()),
        }
    }
    Ok(bytes)
}

/// The text of a secret.
pub(super) fn emit(title: &str, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    // Reserved whole, so that growing leaves no copy behind.
    let mut text = String::with_capacity(title.len() + 2 * bytes.len() + 2);
    let _ = writeln!(text, "{title}");
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    Zeroizing::new(text.into_bytes())
}

/// Fresh random bytes for the secret that will be stored at `path`.
pub(super) fn random<const N: usize>(path: &Path) -> Result<Zeroizing<[u8; N]>, StoreError>
where
    [u8; N]: Zeroize,
{
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| StoreError::Io {
        action: "get random bytes for",
        path: path.to_owned(),
        source: std::io::Error::other(error),
    })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_survives_the_round_trip() {
        let bytes = [0, 1, 0xa5, 0xff];
        let text = emit("title 1", &bytes);
        assert_eq!(text.as_slice(), b"title 1\n0001a5ff\n");
        assert_eq!(*parse::<4>(&text, "title 1").unwrap(), bytes);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let wrong = |text: &str| parse::<4>(text.as_bytes(), "title 1").unwrap_err();
        assert!(wrong("").contains("begin"));
        assert!(wrong("title 2\n0001a5ff\n").contains("begin"));
        assert!(wrong("title 1\n0001a5\n").contains("6 digits"));
        assert!(wrong("title 1\n0001a5fg\n").contains("hexadecimal"));
        assert!(!wrong("title 1\n0001a5fg\n").contains("a5"));
    }
}
