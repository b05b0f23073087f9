//! Faults as text: a table whose word `fault` says of which kind it is.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::FaultKind;
use crate::system::{System, SystemFault};

/// The kinds that every system has.
const WORDS: [&str; 11] = [
    "crash",
    "power_loss",
    "pause",
    "freeze",
    "stutter",
    "disk_stall",
    "disk_failure",
    "partition",
    "closed",
    "slow",
    "rpc",
];

impl<S: System> FaultKind<S> {
    /// The words for all kinds in plans.
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().chain(S::Fault::WORDS).copied()
    }

    /// The word for it in plans.
    pub fn word(&self) -> String {
        let table = toml::Table::try_from(self).unwrap_or_default();
        table.get("fault").and_then(toml::Value::as_str).unwrap_or(self.name()).to_owned()
    }
}

impl<S: System> Serialize for FaultKind<S> {
    fn serialize<T: Serializer>(&self, serializer: T) -> Result<T::Ok, T::Error> {
        match self {
            Self::Own(own) => own.serialize(serializer),
            other => Self::serialize(other, serializer),
        }
    }
}

impl<'de, S: System> Deserialize<'de> for FaultKind<S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let Some(word) = table.get("fault").and_then(toml::Value::as_str) else {
            return Err(D::Error::missing_field("fault"));
        };
        let (is_known, is_own) = (WORDS.contains(&word), S::Fault::WORDS.contains(&word));
        if !is_known && !is_own {
            let all: Vec<_> = FaultKind::<S>::words().map(|word| format!("`{word}`")).collect();
            let why = format!("unknown variant `{word}`, expected one of {}", all.join(", "));
            return Err(D::Error::custom(why));
        }
        let table = toml::Value::Table(table);
        let kind =
            if is_own { S::Fault::deserialize(table).map(Self::Own) } else { Self::deserialize(table) };
        kind.map_err(|error| D::Error::custom(helpful(error.message())))
    }
}

/// What is wrong with a fault, with what else could have been written.
fn helpful(why: &str) -> String {
    let why = why.replace("expected a sequence", "expected a list, such as [\"s1\", \"s2\"]");
    let more = match why.starts_with("unknown field") {
        true => "; every fault has `fault`, `at_ms`, `on`, `after_ms`",
        false => "",
    };
    format!("{why}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::fault::{DriveFailure, Fault, Memory},
        system::toy::Toy,
    };

    fn read(text: &str) -> Result<Fault<Toy>, String> {
        toml::from_str(&format!("at_ms = 7\n{text}")).map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn each_kind_is_known_by_its_word() {
        for word in WORDS {
            let why = read(&format!("fault = \"{word}\"\n")).expect_err("each has fields");
            assert!(why.contains("missing field"), "{word}: {why}");
        }
        let why = read("fault = \"crush\"").expect_err("a typing error");
        assert!(why.contains("`crush`") && why.contains("`crash`"), "{why}");
        assert!(read("node = \"s1\"").expect_err("of no kind").contains("`fault`"));
    }

    #[test]
    fn a_fault_is_called_as_it_is_in_plans() {
        let text = "fault = \"disk_stall\"\nnode = \"p1\"\nlasts_ms = 1\n";
        assert_eq!(read(text).expect("a fault").kind.word(), "disk_stall");
    }

    #[test]
    fn what_of_a_drive_fails_is_a_sync_unless_it_is_said() {
        let how = |text: &str| {
            let kind =
                read(&format!("fault = \"disk_failure\"\nnode = \"p1\"\nlasts_ms = 1\ndown_ms = 1\n{text}"));
            let kind = kind?.kind;
            assert_eq!(read(&toml::to_string(&kind).expect("text")).expect("the same").kind, kind);
            let FaultKind::DiskFailure { how, .. } = kind else { panic!("{kind:?}") };
            Ok::<_, String>(how)
        };
        assert_eq!(how(""), Ok(DriveFailure::Sync));
        let all = ["sync", "write", "full", "access"].map(|word| how(&format!("how = \"{word}\"")));
        assert_eq!(all, DriveFailure::ALL.map(Ok));
        assert!(how("how = \"read\"").is_err_and(|why| why.contains("`full`")));
    }

    #[test]
    fn memory_is_kept_lost_rotten_or_older() {
        let memory = |text: &str| {
            let kind = read(&format!("fault = \"crash\"\nnode = \"p1\"\n{text}")).expect("a crash").kind;
            assert_eq!(read(&toml::to_string(&kind).expect("text")).expect("the same").kind, kind);
            let FaultKind::Crash { memory, .. } = kind else { panic!("{kind:?}") };
            memory
        };
        assert_eq!(memory(""), Memory::Kept);
        let words = ["kept", "lost", "rotten", "older"].map(|word| memory(&format!("memory = \"{word}\"")));
        assert_eq!(words, [Memory::Kept, Memory::Lost, Memory::Rotten, Memory::Older]);
    }

    #[test]
    fn a_field_that_is_misspelt_is_named() {
        let text = "fault = \"pause\"\nnode = \"p1\"\nlasts_ms = 1\nlats_ms = 1\n";
        let why = read(text).expect_err("no such field");
        assert!(why.contains("lats_ms") && why.contains("`at_ms`"), "{why}");
        let why = read("fault = \"partition\"\nfrom = \"s1\"\n").expect_err("no list");
        assert!(why.contains("a list, such as [\"s1\""), "{why}");
    }
}
