//! Text for XML and HTML: commands, file and host names are chosen by others.

use std::fmt;

/// Text as content or as the value of an attribute in double quotes.
///
/// What XML 1.0 cannot hold at all is replaced: control characters, U+FFFE and U+FFFF. So are the marks that turn the
/// direction of text, by which a command could look like another.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(' ')?,
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => f.write_char('\u{fffd}')?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_left_that_means_something() {
        let text = Escaped("<script>\"'&\u{0}\u{1b}[2J\u{202e}\n").to_string();
        assert_eq!(text, "&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}[2J\u{fffd} ");
    }

    proptest! {
        #[test]
        fn any_text_is_well_formed_and_safe(s in any::<String>()) {
            let xml = format!("<a b=\"{0}\">{0}</a>", Escaped(&s));
            let tree = roxmltree::Document::parse(&xml).unwrap();
            prop_assert_eq!(tree.descendants().filter(|n| n.is_element()).count(), 1);
        }
    }
}
