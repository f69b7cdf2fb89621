//! QR codes (ISO/IEC 18004) of links: in the terminal, and as SVG and PNG files for print and
//! pages.

use qrcode::render::{svg, unicode};
use qrcode::{Color, EcLevel, QrCode};
use std::path::Path;

/// The margin in modules that the standard asks for.
const MARGIN: usize = 4;
/// Pixels of a module in a PNG: 5 cm in print for a usual link.
const PIXELS: usize = 16;
/// Black on white, whatever the colours of the terminal: scanners need the light margin.
const BLACK_ON_WHITE: &str = "\u{1b}[38;5;16;48;5;231m";
const END_OF_COLOUR: &str = "\u{1b}[0m";

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Scales to any size.
    Svg,
    /// One size, for everything else.
    Png,
}

impl Format {
    /// The format that the name of a file asks for.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "svg" => Some(Format::Svg),
            "png" => Some(Format::Png),
            _ => None,
        }
    }
}

/// A QR code.
pub struct Code(QrCode);

impl Code {
    /// The code of a link. A medium level of correction bears a scratch on a poster.
    pub fn new(link: &str) -> Result<Self, String> {
        let code = QrCode::with_error_correction_level(link, EcLevel::M);
        code.map(Self).map_err(|error| format!("no QR code for this link: {error}"))
    }

    /// Two modules to a line; `None` if it does not fit.
    pub fn for_terminal(&self, columns: usize) -> Option<String> {
        let is_wide_enough = self.0.width() + 2 * MARGIN <= columns;
        is_wide_enough.then(|| {
            let picture = self.0.render::<unicode::Dense1x2>().build();
            picture
                .lines()
                .fold(String::from("\n"), |text, line| format!("{text}{BLACK_ON_WHITE}{line}{END_OF_COLOUR}\n"))
        })
    }

    /// Writes a file; its name says in which format.
    pub fn write(&self, path: &Path) -> Result<(), String> {
        let bytes = match Format::of(path) {
            Some(Format::Svg) => self.svg().into_bytes(),
            Some(Format::Png) => self.png(),
            None => return Err(format!("{}: must end with .svg or .png", path.display())),
        };
        std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    }

    fn svg(&self) -> String {
        self.0.render::<svg::Color<'_>>().module_dimensions(10, 10).build()
    }

    /// A PNG (RFC 2083) with one bit for a pixel. The pixels are stored uncompressed, some ten
    /// kilobytes, which needs no encoder.
    fn png(&self) -> Vec<u8> {
        let (modules, colors) = (self.0.width(), self.0.to_colors());
        let side = (modules + 2 * MARGIN) * PIXELS;
        let is_dark = |x: usize, y: usize| {
            let module = |at: usize| (at / PIXELS).checked_sub(MARGIN).filter(|module| *module < modules);
            let (Some(x), Some(y)) = (module(x), module(y)) else { return false };
            colors.get(y * modules + x) == Some(&Color::Dark)
        };
        let mut rows = Vec::new();
        for y in 0..side {
            // No filter.
            rows.push(0);
            // The side is a multiple of eight.
            rows.extend(
                (0..side / 8)
                    .map(|byte| (0..8).fold(0, |bits: u8, bit| bits << 1 | u8::from(!is_dark(byte * 8 + bit, y)))),
            );
        }
        let side = u32::try_from(side).unwrap_or(u32::MAX).to_be_bytes();
        // One bit of grey; the only methods of compression and filtering; not interlaced.
        let header = [&side[..], &side[..], &[1, 0, 0, 0, 0]].concat();
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        for (kind, data) in [(b"IHDR", header), (b"IDAT", zlib_stored(&rows)), (b"IEND", Vec::new())] {
            let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
            let body = [&kind[..], &data].concat();
            png.extend([&length.to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat());
        }
        png
    }
}

/// A zlib stream (RFC 1950) of stored blocks.
fn zlib_stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = data.chunks(usize::from(u16::MAX));
    let last = blocks.len().saturating_sub(1);
    for (index, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(index == last));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

/// The checksum of PNG's chunks.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "https://wa.me/31612345678?text=NEWS";

    #[test]
    fn checksums_are_those_of_the_standards() {
        // The check value of CRC-32 (ISO 3309), and the usual one of Adler-32.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(zlib_stored(b"Wikipedia")[..], *b"\x78\x01\x01\x09\x00\xf6\xffWikipedia\x11\xe6\x03\x98");
    }

    #[test]
    fn picture_has_a_margin_and_is_as_wide_as_it_says() {
        let code = Code::new(LINK).unwrap();
        let side = (code.0.width() + 2 * MARGIN) * PIXELS;
        let png = code.png();
        assert_eq!(png[16..20], u32::try_from(side).unwrap().to_be_bytes());
        assert_eq!(side % 8, 0);
        // After the signature, the header, and the heads of chunk, stream and block: a filter byte
        // and a light row.
        let rows = &png[8 + 25 + 8 + 2 + 5..];
        assert_eq!(rows[0], 0);
        assert!(rows[1..=side / 8].iter().all(|byte| *byte == 0xff));
        // The first row of modules begins with the dark edge of a finder pattern.
        let row = &rows[MARGIN * PIXELS * (side / 8 + 1)..];
        let (margin, edge) = (MARGIN * PIXELS / 8, 7 * PIXELS / 8);
        assert!(row[1..=margin].iter().all(|byte| *byte == 0xff));
        assert!(row[1 + margin..=margin + edge].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn terminal_must_be_wide_enough() {
        let code = Code::new(LINK).unwrap();
        let columns = code.0.width() + 2 * MARGIN;
        assert!(code.for_terminal(columns - 1).is_none());
        let picture = code.for_terminal(columns).unwrap();
        assert_eq!(picture.lines().filter(|line| line.contains(BLACK_ON_WHITE)).count(), columns.div_ceil(2));
    }

    #[test]
    fn file_is_written_in_the_format_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let code = Code::new(LINK).unwrap();
        for (name, start) in [("a.svg", &b"<?xml"[..]), ("b.PNG", b"\x89PNG")] {
            let path = folder.path().join(name);
            code.write(&path).unwrap();
            assert!(std::fs::read(&path).unwrap().starts_with(start), "{name}");
        }
        assert!(code.write(&folder.path().join("c.gif")).is_err());
        assert!(Code::new(&"x".repeat(4000)).is_err());
    }
}
