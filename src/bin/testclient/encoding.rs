//! Keys and values as they are written: on the command line, and in what is printed.

// rules: allow fs: a person keeps a value in a file
use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use pbkv::{client::ClientError, protocol::options::VALUE_BYTES_MAX};
use serde_json::{Value as Json, json};

/// So many of something: `1 key`, `2 keys`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// How keys and values are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Encoding {
    /// As they are; in JSON, one that is not UTF-8 is {"base64": "..."}
    #[default]
    Text,
    /// Two hexadecimal digits per byte
    Hex,
    /// Base64, with padding
    Base64,
}

impl Encoding {
    fn decode(self, written: &OsStr) -> Result<Bytes, ClientError> {
        let bytes = written.as_encoded_bytes();
        let wrong = |what: &str, why: String| {
            ClientError::Invalid(format!("'{}' is not {what}: {why}", written.to_string_lossy()))
        };
        match self {
            Self::Text => Ok(bytes.to_vec()),
            Self::Hex => hex::decode(bytes).map_err(|error| wrong("hexadecimal", error.to_string())),
            Self::Base64 => STANDARD.decode(bytes).map_err(|error| wrong("base64", error.to_string())),
        }
        .map(Bytes::from)
    }

    /// As it is printed.
    pub fn written(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Text => bytes.to_vec(),
            Self::Hex => hex::encode(bytes).into_bytes(),
            Self::Base64 => STANDARD.encode(bytes).into_bytes(),
        }
    }

    /// As it stands in JSON.
    pub fn json(self, bytes: &[u8]) -> Json {
        match (self, str::from_utf8(bytes)) {
            (Self::Text, Ok(text)) => text.into(),
            (Self::Text, Err(_)) => json!({ "base64": STANDARD.encode(bytes) }),
            (Self::Hex, _) => hex::encode(bytes).into(),
            (Self::Base64, _) => STANDARD.encode(bytes).into(),
        }
    }
}

/// What a value of `-` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dash {
    /// All of standard input.
    StandardInput,
    /// Itself: standard input holds the commands.
    Itself,
}

/// Reads the keys and values of a command.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// How they are written.
    pub encoding: Encoding,
    /// What `-` means.
    pub dash: Dash,
}

/// A value, or where it is.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// The value; '-' reads standard input to its end, byte for byte (a lone dash: printf - | testclient put
    /// KEY -). At the prompt it stands for itself
    // The name is what usage lines and errors show: all three ways to give a value.
    #[arg(
        required_unless_present = "file",
        value_name = "VALUE|-|--file FILE",
        allow_negative_numbers = true
    )]
    value: Option<OsString>,
    /// Read the value from a file, byte for byte
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,
}

impl Decoder {
    /// A key, or a value that must stand on the command line.
    ///
    /// # Errors
    ///
    /// If it is not written like that.
    pub fn bytes(self, written: &OsStr) -> Result<Bytes, ClientError> {
        self.encoding.decode(written)
    }

    /// A value.
    ///
    /// # Errors
    ///
    /// If it is not written like that, or cannot be read.
    pub fn value(self, value: &Value) -> Result<Bytes, ClientError> {
        match (&value.value, &value.file) {
            (_, Some(path)) => {
                let name = path.display().to_string();
                all(&name, File::open(path))
            }
            (Some(dash), None) if dash == "-" && self.dash == Dash::StandardInput => {
                all("standard input", Ok(io::stdin().lock()))
            }
            (written, None) => self.bytes(written.as_deref().unwrap_or_default()),
        }
    }
}

/// All that is there, unless it is longer than any value may be.
fn all(name: &str, source: io::Result<impl Read>) -> Result<Bytes, ClientError> {
    let mut bytes = Vec::new();
    source
        .and_then(|source| source.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| ClientError::Invalid(format!("cannot read {name}: {error}")))?;
    match bytes.len() as u64 > VALUE_BYTES_MAX {
        true => Err(ClientError::Invalid(format!("{name} is longer than {VALUE_BYTES_MAX} bytes"))),
        false => Ok(bytes.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_an_encoding_is_read_in_it() {
        let bytes: Vec<u8> = (0..=255).collect();
        for encoding in [Encoding::Hex, Encoding::Base64] {
            let written = String::from_utf8(encoding.written(&bytes)).expect("ASCII");
            assert_eq!(encoding.decode(OsStr::new(&written)).expect("just written"), bytes);
            assert_eq!(encoding.json(&bytes), Json::from(written));
            assert!(matches!(encoding.decode(OsStr::new("a")), Err(ClientError::Invalid(_))));
        }
        assert_eq!(Encoding::Text.json(b"caf\xc3\xa9"), json!("caf\u{e9}"));
        assert_eq!(Encoding::Text.json(b"\xff"), json!({ "base64": "/w==" }));
    }
}
