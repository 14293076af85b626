//! Reading and writing fields one after the other.

/// Takes fields from the front of a body.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// At the beginning of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next `count` elements of `N` bytes.
    pub fn list<const N: usize>(&mut self, count: usize) -> Option<&'a [[u8; N]]> {
        let (taken, rest) = self.0.split_at_checked(count.checked_mul(N)?)?;
        self.0 = rest;
        Some(taken.as_chunks().0)
    }
}

/// Puts fields at the front of a body. What does not fit is lost, and [`Writer::position`] says so.
#[derive(Debug)]
pub struct Writer<'a> {
    rest: &'a mut [u8],
    position: Option<usize>,
}

impl<'a> Writer<'a> {
    /// At the beginning of `bytes`.
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self {
            rest: bytes,
            position: Some(0),
        }
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> &mut Self {
        let rest = core::mem::take(&mut self.rest);
        match rest.split_at_mut_checked(bytes.len()) {
            Some((room, rest)) => {
                room.copy_from_slice(bytes);
                self.rest = rest;
                self.position = self
                    .position
                    .and_then(|position| position.checked_add(bytes.len()));
            }
            None => self.position = None,
        }
        self
    }

    /// Bytes written, or `None` if something did not fit.
    pub const fn position(&self) -> Option<usize> {
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_stops_at_the_end() {
        let mut reader = Reader::new(&[1, 2, 3]);
        assert_eq!(reader.u16(), Some(0x0102));
        assert_eq!(reader.u16(), None);
        assert_eq!(reader.u8(), Some(3));
        assert_eq!(reader.u8(), None);
    }

    #[test]
    fn a_writer_notices_what_does_not_fit() {
        let mut room = [0; 3];
        let mut writer = Writer::new(&mut room);
        assert_eq!(writer.put(&[1, 2]).position(), Some(2));
        assert_eq!(writer.put(&[3, 4]).position(), None);
        assert_eq!(writer.put(&[]).position(), None);
    }
}
