//! A Rust file as lines of code without their comments: just enough of a lexer that a rule is not fooled by prose.
//!
//! Strings stay, since what a file says to the world is in them. It is not a parser: it knows comments, strings, raw
//! strings and characters, and tells lifetimes from characters by the closing quote.

/// One line of a Rust file.
#[derive(Debug)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// Without comments.
    pub code: String,
    /// As written.
    pub text: &'a str,
    /// Inside `#[cfg(test)] mod … { }`.
    pub test: bool,
}

/// Where the lexer stands between two lines.
enum State {
    Code,
    /// So many `/*` are open.
    Comment(usize),
    /// In a string that ends with a quote and so many `#`; a raw one knows no escapes.
    Text {
        raw: bool,
        hashes: usize,
    },
}

/// The lines of a Rust file.
pub fn of(text: &str) -> Vec<Line<'_>> {
    let mut state = State::Code;
    let mut lines: Vec<Line<'_>> = text
        .lines()
        .enumerate()
        .map(|(index, text)| Line { number: index + 1, code: code_of(text, &mut state), text, test: false })
        .collect();
    mark_tests(&mut lines);
    lines
}

fn code_of(line: &str, state: &mut State) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut code = String::new();
    let mut rest = chars.as_slice();
    while let Some((&c, after)) = rest.split_first() {
        let mut taken = 1;
        match state {
            State::Comment(depth) => {
                taken = if rest.starts_with(&['/', '*']) {
                    *depth += 1;
                    2
                } else if rest.starts_with(&['*', '/']) {
                    *depth -= 1;
                    2
                } else {
                    1
                };
                if *depth == 0 {
                    *state = State::Code;
                }
                rest = rest.get(taken..).unwrap_or_default();
                continue;
            }
            State::Text { raw: false, .. } if c == '\\' => taken = 2,
            State::Text { hashes, .. } => {
                if c == '"' && after.len() >= *hashes && after.iter().take(*hashes).all(|c| *c == '#') {
                    taken = 1 + *hashes;
                    *state = State::Code;
                }
            }
            State::Code if rest.starts_with(&['/', '/']) => break,
            State::Code if rest.starts_with(&['/', '*']) => {
                *state = State::Comment(1);
                rest = rest.get(2..).unwrap_or_default();
                continue;
            }
            State::Code if c == '"' => *state = State::Text { raw: false, hashes: 0 },
            State::Code if c == 'r' && !code.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '\'') => {
                let hashes = after.iter().take_while(|c| **c == '#').count();
                if after.get(hashes) == Some(&'"') {
                    taken = hashes + 2;
                    *state = State::Text { raw: true, hashes };
                }
            }
            State::Code if c == '\'' => taken = character(after),
            State::Code => {}
        }
        code.extend(rest.iter().take(taken));
        rest = rest.get(taken..).unwrap_or_default();
    }
    code
}

/// How long the character literal is that begins before `after`; 1 where it is a lifetime.
fn character(after: &[char]) -> usize {
    match after {
        ['\\', _, tail @ ..] => tail.iter().position(|c| *c == '\'').map_or(1, |end| end + 4),
        [_, '\'', ..] => 3,
        _ => 1,
    }
}

/// Marks what stands between the braces after `#[cfg(test)]`.
fn mark_tests(lines: &mut [Line<'_>]) {
    let mut depth = 0_i64;
    let mut inside = false;
    for line in lines {
        if !inside && line.code.trim() == "#[cfg(test)]" {
            inside = true;
            depth = 0;
        }
        line.test = inside;
        let opened = line.code.matches('{').count() as i64;
        let closed = line.code.matches('}').count() as i64;
        depth += opened - closed;
        // The item after the attribute has ended: with its braces, or without any (`mod tests;`).
        if inside && depth <= 0 && (closed > 0 || line.code.trim_end().ends_with(';')) {
            inside = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        of(text).into_iter().map(|line| line.code.trim_end().to_owned()).collect()
    }

    #[test]
    fn comments_go_and_strings_stay() {
        assert_eq!(code("let a = 1; // tokio"), ["let a = 1;"]);
        assert_eq!(code("//! tokio\nuse a;"), ["", "use a;"]);
        assert_eq!(code("a(\"http://x\"); // y"), ["a(\"http://x\");"]);
        assert_eq!(code("a /* b /* c\n d */ e */ f"), ["a", " f"]);
        assert_eq!(code("r#\"say \"// no\" \"# // yes"), ["r#\"say \"// no\" \"#"]);
        assert_eq!(code("\"two\\\" // lines\nstill\" // end"), ["\"two\\\" // lines", "still\""]);
        assert_eq!(code("let q = '\"'; // a"), ["let q = '\"';"]);
        assert_eq!(code("let q = '\\''; // a"), ["let q = '\\'';"]);
        assert_eq!(code("fn f<'a>(x: &'a str) {} // a"), ["fn f<'a>(x: &'a str) {}"]);
    }

    #[test]
    fn tests_are_known_as_tests() {
        let marks = |text| of(text).into_iter().map(|line| line.test).collect::<Vec<_>>();
        assert_eq!(
            marks("fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}"),
            [false, true, true, true, true, false]
        );
        assert_eq!(marks("#[cfg(test)]\nmod tests;\nfn c() {}"), [true, true, false]);
    }
}
