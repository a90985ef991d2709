//! The fields of one record, one after the other.

use terrarium_wire::REMEMBERED;

/// What is left of a payload. `None` from any of these: the field is not there whole, or makes no sense.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            // Ten times seven is more than 64.
            if place == 9 && bits > 1 {
                return None;
            }
            number |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    /// A text that may begin like the last of its sort.
    pub(super) fn continued(&mut self, last: &Last) -> Option<Vec<u8>> {
        let shared = usize::try_from(self.number()?).ok()?;
        let shared = last.0.get(..shared)?;
        let rest = self.text()?;
        Some([shared, rest].concat())
    }
}

/// What is remembered of the last text of a sort.
#[derive(Clone, Debug, Default)]
pub(super) struct Last(Vec<u8>);

impl Last {
    pub(super) fn remember(&mut self, text: &[u8]) {
        self.0.clear();
        self.0.extend_from_slice(&text[..text.len().min(REMEMBERED)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length() {
        assert_eq!(Fields(&[0]).number(), Some(0));
        assert_eq!(Fields(&[0x80, 1]).number(), Some(128));
        let most = [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1];
        assert_eq!(Fields(&most).number(), Some(u64::MAX));
        let mut too_much = most;
        too_much[9] = 2;
        assert_eq!(Fields(&too_much).number(), None);
        assert_eq!(Fields(&[0x80; 11]).number(), None);
        assert_eq!(Fields(&[0x80]).number(), None);
        assert_eq!(Fields(&[]).number(), None);
    }

    #[test]
    fn a_text_is_there_whole_or_not_at_all() {
        let mut fields = Fields(&[2, b'a', b'b', 3, b'c']);
        assert_eq!(fields.text(), Some(&b"ab"[..]));
        assert_eq!(fields.text(), None);
        assert_eq!(Fields(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]).text(), None);
    }

    #[test]
    fn no_more_is_shared_than_was_there() {
        let mut last = Last::default();
        last.remember(b"numpy");
        assert_eq!(Fields(&[5, 1, b'x']).continued(&last), Some(b"numpyx".to_vec()));
        assert_eq!(Fields(&[6, 0]).continued(&last), None);
        last.remember(&[b'a'; REMEMBERED + 1]);
        let number = [0x81, 0x04, 0];
        assert_eq!(Fields(&number).number(), Some(REMEMBERED as u64 + 1));
        assert_eq!(Fields(&number).continued(&last), None);
    }
}
