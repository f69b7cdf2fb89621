//! Removes secrets from what a plugin, a log or an error may show.
//!
//! A server may repeat a secret by accident: in an error ("invalid token abc"), an echo of the
//! request, a URL. It is found in clear, in hexadecimal, in Base64 at any alignment (so also within
//! `user:password`), and in texts that are percent-encoded or escaped as in JSON, or both,
//! whichever characters are encoded. A server that means to pass a secret on can always hide it;
//! the operator trusts the hosts to which secrets are bound.
//!
//! Invariant: a text without a secret is returned byte for byte.

use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use beadle_model::Secret;
use memchr::memmem::Finder;
use std::fmt;
use std::ops::Range;

/// What replaces a secret.
const MASK: &[u8] = b"***";

/// Finds a set of secrets.
#[derive(Clone, Default)]
pub struct Scrubber {
    needles: Vec<Needle>,
}

/// One form of a secret.
#[derive(Clone)]
struct Needle {
    finder: Finder<'static>,
    /// The form is part of a longer encoding, of which the neighbours contain some bits.
    is_base64: bool,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrubber({} forms)", self.needles.len())
    }
}

impl Scrubber {
    /// For these secrets, in all their forms. Empty ones are ignored.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut scrubber = Self::default();
        for secret in secrets {
            scrubber.add(secret.expose().as_bytes());
        }
        scrubber
    }

    fn add(&mut self, secret: &[u8]) {
        if secret.is_empty() {
            return;
        }
        let mut push = |form: &[u8], is_base64| {
            self.needles.push(Needle { finder: Finder::new(form).into_owned(), is_base64 });
        };
        push(secret, false);
        // A space in a form (`application/x-www-form-urlencoded`).
        if secret.contains(&b' ') {
            let form: Vec<u8> = secret.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte }).collect();
            push(&form, false);
        }
        let hex = beadle_model::text::hex(secret);
        push(hex.as_bytes(), false);
        push(hex.to_ascii_uppercase().as_bytes(), false);
        for before in 0..3 {
            push(base64_core(&STANDARD_NO_PAD, secret, before).as_bytes(), true);
            push(base64_core(&URL_SAFE_NO_PAD, secret, before).as_bytes(), true);
        }
    }

    /// The bytes with every secret replaced by `***`.
    pub fn scrub(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut found = Vec::new();
        let clear = View { bytes, starts: None };
        self.find(&clear, &mut found);
        for once in clear.decodings() {
            self.find(&once, &mut found);
            once.decodings().for_each(|twice| self.find(&twice, &mut found));
        }
        if found.is_empty() { clear.bytes } else { masked(&clear.bytes, found) }
    }

    /// The text with every secret replaced.
    pub fn scrub_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.scrub(text.as_bytes().to_vec())).into_owned()
    }

    /// Whether the text contains a secret in any form.
    pub fn finds(&self, text: &str) -> bool {
        self.scrub(text.as_bytes().to_vec()) != text.as_bytes()
    }

    fn find(&self, view: &View, found: &mut Vec<Range<usize>>) {
        for needle in &self.needles {
            let length = needle.finder.needle().len();
            for start in needle.finder.find_iter(&view.bytes) {
                let mut range = start..start + length;
                if needle.is_base64 {
                    let is_part = |index: usize| view.bytes.get(index).is_some_and(|byte| is_base64(*byte));
                    range.start -= usize::from(start > 0 && is_part(start - 1));
                    range.end += usize::from(is_part(range.end));
                }
                found.push(view.original(range));
            }
        }
    }
}

/// The characters of the Base64 form that depend on the secret only, if it follows `before` bytes.
fn base64_core(engine: &impl base64::Engine, secret: &[u8], before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret);
    let encoded = engine.encode(&bytes);
    // The first character with bits of the secret only, and the one after the last.
    let (start, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    encoded.get(start..end).unwrap_or_default().to_owned()
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

/// A text after some decoding, with the place of each byte in the original.
struct View {
    bytes: Vec<u8>,
    /// Start of each byte in the original, and the end of the last. `None` if nothing was decoded.
    starts: Option<Vec<usize>>,
}

/// Appends what an escape at the start of a text stands for, and returns its length. `None` if the
/// text does not begin with an escape.
type Decode = fn(&[u8], &mut Vec<u8>) -> Option<usize>;

impl View {
    fn start(&self, index: usize) -> usize {
        match &self.starts {
            Some(starts) => starts.get(index).or(starts.last()).copied().unwrap_or_default(),
            None => index,
        }
    }

    fn original(&self, range: Range<usize>) -> Range<usize> {
        self.start(range.start)..self.start(range.end)
    }

    /// The view after each decoding for which it has an escape.
    fn decodings(&self) -> impl Iterator<Item = View> {
        const ESCAPES: [(u8, Decode); 2] = [(b'%', decode_percent), (b'\\', decode_json)];
        ESCAPES.into_iter().filter_map(|(mark, decode)| self.decoded(mark, decode))
    }

    fn decoded(&self, mark: u8, decode: Decode) -> Option<Self> {
        memchr::memchr(mark, &self.bytes)?;
        let (mut bytes, mut starts) = (Vec::with_capacity(self.bytes.len()), Vec::new());
        let mut index = 0;
        while let Some((first, rest)) = self.bytes.get(index..).and_then(<[u8]>::split_first) {
            let escape = if *first == mark { decode(rest, &mut bytes) } else { None };
            if escape.is_none() {
                bytes.push(*first);
            }
            starts.resize(bytes.len(), self.start(index));
            index += 1 + escape.unwrap_or_default();
        }
        starts.push(self.start(self.bytes.len()));
        Some(Self { bytes, starts: Some(starts) })
    }
}

/// RFC 3986, section 2.1; after the `%`.
fn decode_percent(rest: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    bytes.push(u8::try_from(hex_number(rest.get(..2)?)?).ok()?);
    Some(2)
}

/// RFC 8259, section 7; after the backslash.
fn decode_json(rest: &[u8], bytes: &mut Vec<u8>) -> Option<usize> {
    let unit = |at: usize| (rest.get(at)? == &b'u').then(|| hex_number(rest.get(at + 1..at + 5)?)).flatten();
    let (char, length) = match rest.first()? {
        b'b' => ('\u{8}', 1),
        b'f' => ('\u{c}', 1),
        b'n' => ('\n', 1),
        b'r' => ('\r', 1),
        b't' => ('\t', 1),
        b'u' => match (unit(0)?, rest.get(5)) {
            (high @ 0xd800..0xdc00, Some(b'\\')) => {
                let low = unit(6)?.checked_sub(0xdc00)?;
                (char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?, 11)
            }
            (unit, _) => (char::from_u32(unit)?, 5),
        },
        other if other.is_ascii() => (char::from(*other), 1),
        _ => return None,
    };
    bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    Some(length)
}

fn hex_number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// The bytes with these ranges replaced; ranges that touch become one.
fn masked(bytes: &[u8], mut found: Vec<Range<usize>>) -> Vec<u8> {
    found.sort_by_key(|range| range.start);
    let (mut result, mut last_end) = (Vec::with_capacity(bytes.len()), None);
    for range in found {
        if last_end.is_none_or(|end| range.start > end) {
            result.extend_from_slice(bytes.get(last_end.unwrap_or_default()..range.start).unwrap_or_default());
            result.extend_from_slice(MASK);
        }
        last_end = last_end.max(Some(range.end));
    }
    result.extend_from_slice(bytes.get(last_end.unwrap_or_default()..).unwrap_or_default());
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    fn scrub(secret: &str, text: &str) -> String {
        Scrubber::new([&Secret::new(secret)]).scrub_text(text)
    }

    #[test]
    fn every_form_is_replaced() {
        let secret = "p\u{e4}ss/w\"rd+1 x";
        for (text, scrubbed) in [
            ("token p\u{e4}ss/w\"rd+1 x is invalid", "token *** is invalid"),
            ("a=p%C3%A4ss%2fw%22rd%2B1%20x&b", "a=***&b"),
            ("a=p%C3%A4ss/w%22rd%2B1+x&b", "a=***&b"),
            ("%70%C3%A4%73%73%2F%77%22%72%64%2B%31%20%78", "***"),
            (r#"{"error":"p\u00e4ss\/w\"rd+1 x"}"#, r#"{"error":"***"}"#),
            (r#"{"url":"https:\/\/h\/?k=p%C3%A4ss%2Fw%22rd%2B1%20x&a"}"#, r#"{"url":"https:\/\/h\/?k=***&a"}"#),
            ("p%25C3%25A4ss%252Fw%2522rd%252B1%2520x", "***"),
            ("x 70c3a473732f772272642b312078 y", "x *** y"),
            ("x 70C3A473732F772272642B312078 y", "x *** y"),
            ("p\u{e4}ss/w", "p\u{e4}ss/w"),
        ] {
            assert_eq!(scrub(secret, text), scrubbed, "{text}");
        }
    }

    #[test]
    fn basic_authentication_is_replaced() {
        for user in ["a", "ab", "abc", "somebody@example.org"] {
            let encoded = STANDARD.encode(format!("{user}:correct horse"));
            let scrubbed = scrub("correct horse", &format!("Authorization: Basic {encoded}"));
            assert!(scrubbed.starts_with("Authorization: Basic ") && scrubbed.contains("***"), "{scrubbed}");
            assert!(!scrubbed.contains(&base64_core(&STANDARD, b"correct horse", user.len() + 1)), "{scrubbed}");
        }
    }

    #[test]
    fn adjacent_and_repeated_secrets_are_replaced() {
        let scrubber = Scrubber::new([&Secret::new("aaaaaaaa"), &Secret::new("aaaabbbb")]);
        assert_eq!(scrubber.scrub_text("aaaaaaaabbbb-aaaaaaaaaaaaaaaa."), "***-***.");
        assert_eq!(format!("{scrubber:?}"), "Scrubber(18 forms)");
    }

    /// One of the ways in which a server may write a secret.
    fn encode(secret: &str, way: usize, mask: u64) -> String {
        let chosen = |index: usize| mask >> (index % 64) & 1 == 1;
        match way {
            0 => secret.to_owned(),
            1 => secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
            2 => STANDARD.encode(secret),
            3 => URL_SAFE.encode(secret),
            4 => STANDARD.encode(format!("u:{secret}:v")),
            5 => URL_SAFE_NO_PAD.encode(format!("user{secret}")),
            // Any subset of the bytes, in any case; a percent sign always.
            6 => secret
                .bytes()
                .enumerate()
                .map(|(index, byte)| match chosen(index) || !byte.is_ascii() || byte == b'%' {
                    true if chosen(index + 7) => format!("%{byte:02x}"),
                    true => format!("%{byte:02X}"),
                    false => char::from(byte).to_string(),
                })
                .collect(),
            7 => secret
                .encode_utf16()
                .enumerate()
                .map(|(index, unit)| match char::from_u32(u32::from(unit)) {
                    Some(char) if !chosen(index) && char != '\\' && char != '"' => char.to_string(),
                    _ => format!("\\u{unit:04x}"),
                })
                .collect(),
            8 => serde_json::to_string(secret).unwrap(),
            9 => encode(&encode(secret, 6, mask), 6, mask.rotate_left(9)),
            10 => encode(&encode(secret, 6, mask), 7, mask.rotate_left(9)),
            _ => encode(&encode(secret, 4, mask), 6, mask.rotate_left(9)),
        }
    }

    /// What a plugin could find if it decoded everything that came back.
    fn contains(text: &[u8], secret: &str) -> bool {
        let scrubber = Scrubber::new([&Secret::new(secret)]);
        scrubber.scrub(text.to_vec()) != text
    }

    proptest! {
        #[test]
        fn no_form_of_a_secret_is_returned(
            secret in "[ -~\u{e4}\u{1f600}]{8,40}",
            before in "[ -~]{0,20}",
            after in "[ -~]{0,20}",
            way in 0..12usize,
            mask: u64,
        ) {
            prop_assume!(secret.trim() == secret && !"***".contains(&secret));
            let form = encode(&secret, way, mask);
            let text = format!("{before} {form} {after}");
            let scrubbed = Scrubber::new([&Secret::new(&secret)]).scrub(text.clone().into_bytes());
            let form = form.trim_matches('"').trim_end_matches('=');
            prop_assert!(!String::from_utf8_lossy(&scrubbed).contains(form), "{text}");
            prop_assert!(!contains(&scrubbed, &secret), "{text} {}", String::from_utf8_lossy(&scrubbed));
        }

        #[test]
        fn other_bytes_are_unchanged(bytes: Vec<u8>) {
            let scrubber = Scrubber::new([&Secret::new("a secret of some length")]);
            prop_assert_eq!(scrubber.scrub(bytes.clone()), bytes);
        }
    }
}
