//! Bytes from a terminal become keys.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    /// With the control key.
    Control(char),
    Enter,
    Esc,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    /// One that means nothing here.
    Other,
}

/// What one read gave, as keys. Escape alone is told from the begin of a sequence by nothing coming with it:
/// terminals send a sequence in one go.
pub(crate) fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some(&first) = bytes.first() {
        let (key, used) = match first {
            0x1b => escape(bytes),
            b'\r' | b'\n' => (Key::Enter, 1),
            0x7f | 0x08 => (Key::Backspace, 1),
            1..=26 => (Key::Control(char::from(first + b'a' - 1)), 1),
            0..32 => (Key::Other, 1),
            32..127 => (Key::Char(char::from(first)), 1),
            _ => character(bytes),
        };
        keys.push(key);
        bytes = &bytes[used..];
    }
    keys
}

fn character(bytes: &[u8]) -> (Key, usize) {
    let whole = |n: &usize| std::str::from_utf8(bytes.get(..*n)?).ok()?.chars().next();
    let found = (2..=4).find_map(|n| Some((whole(&n)?, n)));
    found.map_or((Key::Other, 1), |(c, n)| (Key::Char(c), n))
}

/// `ESC [ numbers letter`, `ESC [ number ~`, `ESC O letter`, or escape alone.
fn escape(bytes: &[u8]) -> (Key, usize) {
    let (Some(second), Some(rest)) = (bytes.get(1), bytes.get(2..)) else { return (Key::Esc, 1) };
    match second {
        b'[' | b'O' => {}
        0x1b => return (Key::Esc, 1),
        // With Alt: means nothing here.
        _ => return (Key::Other, 2),
    }
    let Some(end) = rest.iter().position(|b| (0x40..=0x7e).contains(b)) else {
        return (Key::Other, bytes.len());
    };
    let key = match (rest[end], &rest[..end]) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        (b'M', b"") if *second == b'O' => Key::Enter,
        _ => Key::Other,
    };
    (key, end + 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_terminals_send() {
        let one = |bytes: &[u8]| match keys(bytes)[..] {
            [key] => key,
            ref other => panic!("{bytes:?}: {other:?}"),
        };
        assert_eq!([one(b"\x1b[A"), one(b"\x1bOB"), one(b"\x1b[1;5C")], [Key::Up, Key::Down, Key::Right]);
        assert_eq!(
            [one(b"\x1b[5~"), one(b"\x1b[6~"), one(b"\x1b[1~")],
            [Key::PageUp, Key::PageDown, Key::Home]
        );
        assert_eq!([one(b"\x1b"), one(b"\r"), one(b"\x7f")], [Key::Esc, Key::Enter, Key::Backspace]);
        assert_eq!([one(b"\x03"), one("é".as_bytes())], [Key::Control('c'), Key::Char('é')]);
        // Unknown sequences, and those that are cut off, are one key that does nothing, not many that do something.
        assert_eq!([one(b"\x1b[200~"), one(b"\x1b[?1;2"), one(b"\x1bq")], [Key::Other; 3]);
        assert_eq!(keys(b"/q\x1b[Bj"), [Key::Char('/'), Key::Char('q'), Key::Down, Key::Char('j')]);
        assert_eq!(keys(b"\x1b\x1b"), [Key::Esc, Key::Esc]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            prop_assert!(keys(&bytes).len() <= bytes.len());
        }
    }
}
