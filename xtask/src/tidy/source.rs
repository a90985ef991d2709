//! Rust source split into code, comments and strings, line by line: enough to tell a word in
//! code from the same word in a comment or a string, without a parser as a dependency.

/// One line of a source file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// The code, without comments; strings and character literals are empty.
    pub(crate) code: String,
    /// The text of the comments.
    pub(crate) comment: String,
    /// Whether part of a string stands here: a line of a long string has no `code`.
    string: bool,
}

impl Line {
    /// Whether this is a line of code in the sense of the size limits.
    pub(crate) fn counts(&self) -> bool {
        self.string || !self.code.trim().is_empty()
    }

    /// Whether `word` stands in the code, not as part of a longer name.
    pub(crate) fn has(&self, word: &str) -> bool {
        after(&self.code, word).next().is_some()
    }
}

/// What follows each `word` in `code` that is not part of a longer name.
pub(crate) fn after<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let named = |c: char| c.is_alphanumeric() || c == '_';
    let open_end = word.ends_with(named);
    code.match_indices(word).filter_map(move |(at, _)| {
        let rest = &code[at + word.len()..];
        let longer = code[..at].ends_with(named) || (open_end && rest.starts_with(named));
        (!longer).then_some(rest)
    })
}

enum Within {
    Code,
    LineComment,
    /// How deep: block comments nest.
    BlockComment(u32),
    String,
    /// How many `#` end it.
    RawString(usize),
}

/// Splits a file into its lines.
pub(crate) fn lines(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut within = Within::Code;
    let mut i = 0;
    while i < chars.len() {
        let c = at(i);
        let mut step = 1;
        if c == '\n' {
            if matches!(within, Within::LineComment) {
                within = Within::Code;
            }
            lines.push(std::mem::take(&mut line));
            i += 1;
            continue;
        }
        match &mut within {
            Within::Code => match c {
                '/' if at(i + 1) == '/' => {
                    within = Within::LineComment;
                    step = 2;
                }
                '/' if at(i + 1) == '*' => {
                    within = Within::BlockComment(1);
                    step = 2;
                }
                '"' => {
                    line.code.push(c);
                    line.string = true;
                    within = Within::String;
                }
                'r' if !after_name(&chars, i) && raw_string(&chars, i).is_some() => {
                    let hashes = raw_string(&chars, i).unwrap_or(0);
                    line.code.push('"');
                    line.string = true;
                    within = Within::RawString(hashes);
                    step = 2 + hashes;
                }
                '\'' => {
                    // A character, or a lifetime.
                    let end = match at(i + 1) {
                        '\\' => (i + 3..chars.len()).find(|&k| at(k) == '\''),
                        _ => (at(i + 2) == '\'').then_some(i + 2),
                    };
                    line.code.push_str(if end.is_some() { "''" } else { "'" });
                    step = end.map_or(1, |end| end + 1 - i);
                }
                _ => line.code.push(c),
            },
            Within::LineComment => line.comment.push(c),
            Within::BlockComment(depth) => match (c, at(i + 1)) {
                ('/', '*') => {
                    *depth += 1;
                    step = 2;
                }
                ('*', '/') => {
                    *depth -= 1;
                    step = 2;
                    if *depth == 0 {
                        within = Within::Code;
                    }
                }
                _ => line.comment.push(c),
            },
            Within::String => {
                line.string = true;
                match c {
                    // A line break may be escaped: it is still the end of a line here.
                    '\\' if at(i + 1) != '\n' => step = 2,
                    '"' => {
                        line.code.push(c);
                        within = Within::Code;
                    }
                    _ => {}
                }
            }
            Within::RawString(hashes) => {
                line.string = true;
                if c == '"' && (1..=*hashes).all(|k| at(i + k) == '#') {
                    step = 1 + *hashes;
                    line.code.push('"');
                    within = Within::Code;
                }
            }
        }
        i += step;
    }
    if line != Line::default() {
        lines.push(line);
    }
    lines
}

/// Whether the character before `i` belongs to a name (`for"x"` is no raw string). `br"` and `cr"` are prefixes.
fn after_name(chars: &[char], i: usize) -> bool {
    let name = |k: usize| chars[k].is_alphanumeric() || chars[k] == '_';
    match i {
        0 => false,
        1 => name(0) && !matches!(chars[0], 'b' | 'c'),
        _ => name(i - 1) && (name(i - 2) || !matches!(chars[i - 1], 'b' | 'c')),
    }
}

/// With `r` at `i`: the number of `#` before the quote, unless it is a name (`r#type`, `rest`).
fn raw_string(chars: &[char], i: usize) -> Option<usize> {
    let hashes = chars[i + 1..].iter().take_while(|&&c| c == '#').count();
    (chars.get(i + 1 + hashes) == Some(&'"')).then_some(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        assert_eq!(code("a(\"unsafe // \\\" x\"); // unsafe"), ["a(\"\"); "]);
        assert_eq!(code("a /* b /* c */ d */ e"), ["a  e"]);
        assert_eq!(code("x(r#\"a \" b\"#, br\"c\", r#type)"), ["x(\"\", b\"\", r#type)"]);
        assert_eq!(code("f('\"', '\\'', '\\u{1F}', 'a: loop {})"), ["f('', '', '', 'a: loop {})"]);
        assert_eq!(code("\"one \\\n two\" + three"), ["\"", "\" + three"]);
        assert_eq!(code("for\"x\" y"), ["for\"\" y"]);
    }

    #[test]
    fn lines_that_count() {
        let text = "//! x\n\n/* y\nz */\nlet s = \"\n  middle\n\";\n    // w\n}";
        let count: Vec<bool> = lines(text).iter().map(Line::counts).collect();
        assert_eq!(count, [false, false, false, false, true, true, true, false, true]);
    }

    #[test]
    fn words_are_whole() {
        let line = |text| lines(text).remove(0);
        assert!(line("x = unsafe { y }").has("unsafe"));
        assert!(!line("#![forbid(unsafe_code)]").has("unsafe"));
        assert!(line("std::println!()").has("println!"));
        assert!(!line("eprintln!()").has("println!"));
        assert_eq!(lines("// why: y")[0].comment, " why: y");
    }
}
