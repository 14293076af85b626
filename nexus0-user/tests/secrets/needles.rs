//! Looks for secrets in what was said: eight bytes of one in a row, as bytes, in hexadecimal or as numbers.

use std::collections::BTreeSet;

/// What is looked for.
#[derive(Default)]
pub(crate) struct Needles(Vec<(String, Vec<u8>)>);

/// How eight bytes may have been written.
pub(crate) fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex = nexus0::hex::encode(bytes);
    let list = |between: &str| {
        let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
        numbers.join(between).into_bytes()
    };
    vec![
        bytes.to_vec(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        list(", "),
        list(","),
    ]
}

impl Needles {
    /// One more secret, under a name.
    pub(crate) fn add(&mut self, name: &str, secret: &[u8]) {
        for part in secret.chunks_exact(8) {
            let forms = forms(part).into_iter();
            self.0.extend(forms.map(|form| (name.to_owned(), form)));
        }
    }

    /// Names of those that are there.
    pub(crate) fn found_in(&self, text: &[u8]) -> BTreeSet<&str> {
        let there = |needle: &[u8]| text.windows(needle.len()).any(|window| window == needle);
        let found = self.0.iter().filter(|(_, needle)| there(needle));
        found.map(|(name, _)| name.as_str()).collect()
    }
}
