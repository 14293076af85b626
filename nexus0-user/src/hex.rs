//! Bytes as lower-case hexadecimal text, and back.

use std::fmt::Write as _;

/// Why text is not the bytes that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HexError {
    /// A character that is no hexadecimal digit.
    #[error("{0:?} is not a hexadecimal digit")]
    Digit(char),
    /// Half a byte too many.
    #[error("an odd number of digits ({0})")]
    Odd(usize),
    /// The wrong number of bytes.
    #[error("{found} bytes where {wanted} belong")]
    Length {
        /// Bytes found.
        found: usize,
        /// Bytes wanted.
        wanted: usize,
    },
}

/// The bytes as text.
pub fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Any number of bytes; white space, colons and a leading `0x` are skipped.
pub fn decode(text: &str) -> Result<Vec<u8>, HexError> {
    let text = text.trim();
    let text = text.strip_prefix("0x").unwrap_or(text);
    let digits = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != ':')
        .map(|c| c.to_digit(16).map(|d| d as u8).ok_or(HexError::Digit(c)))
        .collect::<Result<Vec<u8>, _>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexError::Odd(digits.len()));
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// Exactly `N` bytes.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], HexError> {
    let bytes = decode(text)?;
    let found = bytes.len();
    bytes
        .try_into()
        .map_err(|_| HexError::Length { found, wanted: N })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        assert_eq!(decode_array("0x01:02 0a"), Ok([1, 2, 10]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(decode("0g"), Err(HexError::Digit('g')));
        assert_eq!(decode("012"), Err(HexError::Odd(3)));
        assert_eq!(
            decode_array::<3>("0102"),
            Err(HexError::Length {
                found: 2,
                wanted: 3
            })
        );
    }
}
