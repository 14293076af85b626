//! JSON of objects of strings and numbers.

/// JSON, as much as is needed: objects of strings, numbers and objects.
#[derive(Default)]
pub(super) struct Object(pub(super) Vec<(String, String)>);

impl Object {
    pub(super) fn hex(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.text(name, &digits.concat())
    }

    pub(super) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.0.push((name.into(), format!("\"{text}\"")));
        self
    }

    pub(super) fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.0.push((name.into(), number.to_string()));
        self
    }

    pub(super) fn object(&mut self, name: &str, object: &Self) -> &mut Self {
        let lines = object
            .0
            .iter()
            .map(|(name, value)| format!("\"{name}\": {}", value.replace('\n', "\n  ")));
        let lines: Vec<String> = lines.collect();
        self.0
            .push((name.into(), format!("{{\n  {}\n}}", lines.join(",\n  "))));
        self
    }
}
