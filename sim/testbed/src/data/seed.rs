//! What a drawn run is called: `42`, or `42,faults=crash+partition,servers=3`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// To what the plans of seeds are narrowed: `faults=crash+partition,servers=3`. Empty: to nothing. What each
/// name means, [`crate::draw::narrow`] says. Of two that mean the same, the text is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Only(Arc<BTreeMap<String, BTreeSet<String>>>);

impl Only {
    /// Whether nothing is narrowed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is narrowed to what, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeSet<String>)> {
        self.0.iter().map(|(name, values)| (&**name, values))
    }
}

impl fmt::Display for Only {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, values)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            write!(f, "{comma}{name}={}", values.join("+"))?;
        }
        Ok(())
    }
}

impl FromStr for Only {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut only: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for part in text.split(',') {
            let wrong = || {
                format!(
                    "'{part}' is not of the form NAME=VALUE or NAME=VALUE+VALUE, such as clients=2 or \
                     faults=crash+partition"
                )
            };
            let (name, values) = part.split_once('=').ok_or_else(wrong)?;
            let (name, values) = (name.trim(), values.split('+').map(str::trim));
            if name.is_empty() || values.clone().any(str::is_empty) {
                return Err(wrong());
            }
            let values = values.map(str::to_owned).collect();
            if only.insert(name.to_owned(), values).is_some() {
                return Err(format!("{name} is given twice: join its values with '+'"));
            }
        }
        Ok(Self(Arc::new(only)))
    }
}

impl TryFrom<String> for Only {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() { Ok(Self::default()) } else { text.parse() }
    }
}

impl From<Only> for String {
    fn from(only: Only) -> Self {
        only.to_string()
    }
}

/// A seed, and to what its plan is narrowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seed {
    /// Its number.
    pub number: u64,
    /// To what its plan is narrowed.
    pub only: Only,
}

impl From<u64> for Seed {
    fn from(number: u64) -> Self {
        Self { number, only: Only::default() }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comma = if self.only.is_empty() { "" } else { "," };
        write!(f, "{}{comma}{}", self.number, self.only)
    }
}

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, only) = text.split_once(',').map_or((text, None), |(number, only)| (number, Some(only)));
        let number = number.parse().map_err(|_| {
            format!("'{number}' is not a seed: write a number up to {}, such as 42", u64::MAX)
        })?;
        Ok(Self { number, only: only.map(Only::from_str).transpose()?.unwrap_or_default() })
    }
}

impl TryFrom<String> for Seed {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Seed> for String {
    fn from(seed: Seed) -> Self {
        seed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for name in ["42", "0,servers=3", "18446744073709551615,faults=crash+partition,servers=2+3"] {
            let seed: Seed = name.parse().expect(name);
            assert_eq!(seed.to_string(), name);
            let stored = serde_json::to_string(&seed).expect("data");
            assert_eq!(serde_json::from_str::<Seed>(&stored).expect("what was stored"), seed);
        }
    }

    #[test]
    fn the_order_of_what_is_narrowed_means_nothing() {
        let (one, other): (Result<Seed, _>, Result<Seed, _>) =
            ("7,b=2+1,a=x".parse(), "7,a=x,b=1+2+1".parse());
        assert_eq!(one, other);
        assert_eq!(one.expect("a seed").to_string(), "7,a=x,b=1+2");
    }

    #[test]
    fn what_is_no_narrowing_is_refused_with_an_example() {
        for text in ["", "servers", "=3", "servers=", "servers=3,", "servers=3++4", "a=1;b=2,c"] {
            let why = text.parse::<Only>().expect_err(text);
            assert!(why.contains("clients=2"), "{text}: {why}");
        }
        let why = "a=1,a=2".parse::<Only>().expect_err("twice");
        assert!(why.contains("'+'"), "{why}");
        for text in ["", "x", "-1", "18446744073709551616", "42,", "42,servers", "plans/a.toml"] {
            assert!(text.parse::<Seed>().is_err(), "{text}");
        }
    }
}
