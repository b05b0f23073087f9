//! Compressed files and byte order marks.

use std::borrow::Cow;
#[cfg(feature = "unpack")]
use std::io::{self, Read};

use super::ParseError;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTANDARD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// A text beyond this, in bytes, is not unpacked.
#[cfg(feature = "unpack")]
const UNPACKED_MAX: u64 = 1 << 33;

/// The text of a file: unpacked if it is compressed with gzip or Zstandard, found by the first bytes.
pub(super) fn text(bytes: &[u8]) -> Result<Cow<'_, str>, ParseError> {
    let name = if bytes.starts_with(GZIP) {
        Some("gzip")
    } else {
        bytes.starts_with(ZSTANDARD).then_some("Zstandard")
    };
    let bytes = match name {
        Some(name) => Cow::Owned(unpacked(name, bytes)?),
        None => Cow::Borrowed(bytes),
    };
    let bytes = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)),
        Cow::Owned(mut bytes) => {
            if bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            Cow::Owned(bytes)
        }
    };
    let not_text = |bytes: &[u8], valid: usize| {
        let line = 1 + bytes[..valid].iter().filter(|&&byte| byte == b'\n').count();
        ParseError::expected(line, "text in UTF-8, or gzip or Zstandard of it", "other bytes")
    };
    match bytes {
        Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(error) => Err(not_text(bytes, error.valid_up_to())),
        },
        Cow::Owned(bytes) => String::from_utf8(bytes)
            .map(Cow::Owned)
            .map_err(|error| not_text(error.as_bytes(), error.utf8_error().valid_up_to())),
    }
}

#[cfg(not(feature = "unpack"))]
fn unpacked(name: &str, _bytes: &[u8]) -> Result<Vec<u8>, ParseError> {
    Err(ParseError::expected(1, "text, since this program was built without the feature `unpack`", name))
}

#[cfg(feature = "unpack")]
fn unpacked(name: &str, bytes: &[u8]) -> Result<Vec<u8>, ParseError> {
    let packed: Box<dyn Read + '_> = match name {
        "gzip" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        _ => Box::new(Frames { rest: bytes, frame: None }),
    };
    let mut bytes = Vec::new();
    packed
        .take(UNPACKED_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| ParseError::new(1, format!("the {name} file cannot be unpacked: {error}")))?;
    if bytes.len() as u64 > UNPACKED_MAX {
        return Err(ParseError::new(1, format!("the {name} file unpacks to more than {UNPACKED_MAX} bytes")));
    }
    Ok(bytes)
}

/// The content of Zstandard frames, one after the other.
#[cfg(feature = "unpack")]
struct Frames<'a> {
    rest: &'a [u8],
    frame: Option<ruzstd::decoding::StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
}

#[cfg(feature = "unpack")]
impl Read for Frames<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None if self.rest.is_empty() => return Ok(0),
                None => ruzstd::decoding::StreamingDecoder::new(self.rest).map_err(io::Error::other)?,
            };
            let length = frame.read(into)?;
            if length > 0 || into.is_empty() {
                self.frame = Some(frame);
                return Ok(length);
            }
            self.rest = frame.into_inner();
        }
    }
}
