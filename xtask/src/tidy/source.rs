//! Just enough of Rust's lexical rules for the other rules: code without comments and strings,
//! whole words, paths.

/// Replaces comments and the insides of strings and characters by spaces. Lines stay where they
/// are.
pub(super) fn blank_comments_and_strings(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let after_word = code.chars().next_back().is_some_and(is_word);
        let (keep, blank) = token(rest, first, after_word);
        let (kept, tail) = rest.split_at(keep);
        let (blanked, tail) = tail.split_at(blank);
        code.push_str(kept);
        code.extend(blanked.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = tail;
    }
    code
}

/// How many bytes at the start of `rest` are code, and how many after them are not.
fn token(rest: &str, first: char, after_word: bool) -> (usize, usize) {
    match first {
        '/' if rest.starts_with("//") => (0, rest.find('\n').unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => (0, block_comment(rest)),
        '"' => (0, string(rest)),
        '\'' => (0, character(rest).unwrap_or(0)).into_code_if_nothing(1),
        'r' | 'b' | 'c' if !after_word => {
            (0, prefixed_string(rest).unwrap_or(0)).into_code_if_nothing(1)
        }
        other => (other.len_utf8(), 0),
    }
}

trait IntoCode {
    fn into_code_if_nothing(self, bytes: usize) -> Self;
}

impl IntoCode for (usize, usize) {
    /// A quote that opens no character, or a letter that opens no string, is code.
    fn into_code_if_nothing(self, bytes: usize) -> Self {
        if self.1 == 0 { (bytes, 0) } else { self }
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0usize;
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of the string that begins with the quote at the start.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of the raw, byte or C string (or byte character) that begins with a letter at the
/// start, if one does.
fn prefixed_string(rest: &str) -> Option<usize> {
    let letters = rest.find(|c| !matches!(c, 'r' | 'b' | 'c'))?;
    let (prefix, body) = rest.split_at(letters);
    if !["r", "b", "c", "br", "cr"].contains(&prefix) {
        return None;
    }
    if prefix == "b" && body.starts_with('\'') {
        return Some(letters + character(body)?);
    }
    if !prefix.ends_with('r') {
        return body.starts_with('"').then(|| letters + string(body));
    }
    let hashes = body.find(|c| c != '#')?;
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &body[..hashes]);
    Some(inner.find(&end).map_or(rest.len(), |at| letters + hashes + 1 + at + end.len()))
}

/// The length of the character at the start; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    if first == '\\' {
        let closing = inner.char_indices().skip(2).find(|(_, c)| *c == '\'')?.0;
        return Some(1 + closing + 1);
    }
    inner[first.len_utf8()..].starts_with('\'').then(|| 1 + first.len_utf8() + 1)
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where `word` stands in `text` as a word of its own.
pub(super) fn find_word<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// The line, counted from one, on which byte `at` stands.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The names that directly follow `root::` (a word such as `crate` or `std`), groups in braces
/// included, with the byte at which each stands: `crate::{plan, netns::Netns}` yields `plan` and
/// `netns`.
pub(super) fn children_of<'a>(code: &'a str, root: &'a str) -> Vec<(usize, &'a str)> {
    let mut children = Vec::new();
    for at in find_word(code, root) {
        let Some(rest) = code[at + root.len()..].strip_prefix("::") else { continue };
        let start = code.len() - rest.len();
        if !rest.trim_start().starts_with('{') {
            children.extend(name_at(code, start));
            continue;
        }
        let mut depth = 0;
        let mut expects_name = false;
        for (offset, c) in rest.char_indices() {
            match c {
                '{' => {
                    depth += 1;
                    expects_name = depth == 1;
                }
                '}' if depth == 1 => break,
                '}' => depth -= 1,
                ',' => expects_name = depth == 1,
                c if expects_name && is_word(c) => {
                    children.extend(name_at(code, start + offset));
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    children
}

fn name_at(code: &str, start: usize) -> Option<(usize, &str)> {
    let rest = &code[start..];
    let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    (end > 0).then(|| (start, &rest[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text = "a // unsafe\nb /* x /* unsafe */ y */ c\n\"unsafe \\\" unsafe\" d";
        let code = blank_comments_and_strings(text);
        assert!(!code.contains("unsafe"), "{code}");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(code.lines().map(words).collect::<Vec<_>>(), ["a", "b c", "d"]);
    }

    #[test]
    fn raw_and_byte_strings_are_strings() {
        for text in [
            "r#\"unsafe \" \"#;x",
            "br\"unsafe\\\";x",
            "b\"unsafe\";x",
            "c\"unsafe\";x",
            "r\"unsafe\";x",
        ] {
            assert_eq!(blank_comments_and_strings(text).trim(), ";x", "{text}");
        }
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_not() {
        let code =
            blank_comments_and_strings("fn f<'a>(x: &'a str) { '\"'; '\\''; b'\"'; unsafe_word }");
        assert!(code.contains("<'a>") && code.contains("&'a str"), "{code}");
        assert!(!code.contains('"') && code.contains("unsafe_word"), "{code}");
    }

    #[test]
    fn raw_identifiers_and_names_that_end_in_r_stay() {
        assert_eq!(blank_comments_and_strings("for r#type in bar"), "for r#type in bar");
        assert_eq!(blank_comments_and_strings("vector\"x\"").trim(), "vector");
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(find_word("unsafe_op unsafe(x) not_unsafe", "unsafe").collect::<Vec<_>>(), [10]);
    }

    #[test]
    fn children_are_found_alone_and_in_groups() {
        let code = "use crate::plan::{self, Step};\nuse crate::{\n    netns::{Netns, run},\n    topology,\n};\npub(crate) x";
        let names: Vec<_> = children_of(code, "crate").into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["plan", "netns", "topology"]);
    }
}
