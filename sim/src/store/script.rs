//! What a client is to do, line by line.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use pbkv::protocol::{command::Scan, identity::OpNumber};

use super::operation::{Input, Output, Told};
use crate::bound::Plan;

/// One line of a client's script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Not before this time.
    pub at: Duration,
    /// What to do
    pub action: Action,
    /// with this key.
    pub key: Bytes,
    /// How long the written value is, in bytes, if that is said: 0, or at least as long as it takes to be
    /// unique.
    pub bytes: Option<usize>,
    /// How many keys a page of a scan has at most, if that is said.
    pub keys_max: Option<u32>,
}

/// The operations, the end of a session, and that of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Reads.
    Get,
    /// Replaces.
    Put,
    /// Adds to the end.
    Append,
    /// Removes.
    Delete,
    /// Replaces what was seen last, if it is still there.
    CompareAndSwap,
    /// Replaces what the client was told a revision of, if no operation has changed the key since that one.
    CompareAndSwapRevision,
    /// Closes the client's session; the next operation opens another. Its key means nothing.
    Close,
    /// The client ends at that time, whatever is under way, and comes back as one that knows nothing. Its key
    /// means nothing.
    Restart,
    /// Reads all keys that begin with its key, page by page; all keys, if that is [`EVERYTHING`].
    Scan,
}

/// What a scan of all keys names.
pub const EVERYTHING: &[u8] = b"-";

impl Action {
    /// Whether it is an operation.
    pub fn is_call(self) -> bool {
        !matches!(self, Self::Close | Self::Restart)
    }

    /// Whether it writes a value.
    pub fn writes(self) -> bool {
        matches!(self, Self::Put | Self::Append | Self::CompareAndSwap | Self::CompareAndSwapRevision)
    }
}

impl Step {
    /// Reads a line `<seconds> <operation> <key>`, with the length of the written value behind it, or the
    /// most keys of a page, if that is to be said. The end of a session or client needs no key.
    ///
    /// # Errors
    ///
    /// What is wrong and what would be right.
    pub fn parse(line: &str) -> Result<Self, String> {
        let wrong = |what: &str| {
            format!(
                "'{line}' is not a step ({what}): write '<seconds> <operation> <key>', such as '1.250 append k3'"
            )
        };
        let words: Vec<_> = line.split_whitespace().collect();
        let (seconds, action, key, bytes) = match words[..] {
            [seconds, action @ ("close" | "restart")] => (seconds, action, "-", None),
            [seconds, action, key] => (seconds, action, key, None),
            [seconds, action, key, bytes] => (seconds, action, key, Some(bytes)),
            _ => return Err(wrong("it does not have three words")),
        };
        let seconds: f64 = seconds.parse().map_err(|_| wrong("the first word is not a number"))?;
        let at = Duration::try_from_secs_f64(seconds)
            .map_err(|_| wrong("its time is below zero, or too large"))?;
        let action = match action {
            "get" => Action::Get,
            "put" => Action::Put,
            "append" => Action::Append,
            "delete" => Action::Delete,
            "cas" => Action::CompareAndSwap,
            "cas-revision" => Action::CompareAndSwapRevision,
            "close" => Action::Close,
            "restart" => Action::Restart,
            "scan" => Action::Scan,
            _ => {
                return Err(wrong(
                    "the operation is not get, put, append, delete, cas, cas-revision, scan, close or restart",
                ));
            }
        };
        let key = Bytes::copy_from_slice(key.as_bytes());
        let mut step = Self { at, action, key, bytes: None, keys_max: None };
        match bytes {
            None => {}
            Some(keys) if action == Action::Scan => {
                let keys_max: u32 = keys.parse().map_err(|_| wrong("the keys of a page are not a number"))?;
                step.keys_max = Some(keys_max).filter(|keys_max| *keys_max > 0);
            }
            Some(_) if !action.writes() => return Err(wrong("what writes nothing has no length")),
            Some(bytes) => step.bytes = Some(bytes.parse().map_err(|_| wrong("the length is not a number"))?),
        }
        Ok(step)
    }

    /// What is asked for its first page.
    pub fn scan(&self) -> Scan {
        let prefix = if self.key == EVERYTHING { Bytes::new() } else { self.key.clone() };
        Scan { values: true, keys_max: self.keys_max.unwrap_or_default(), ..Scan::of(prefix) }
    }

    /// The value that it writes, made of a `name` that no other operation has; empty if it writes none.
    pub fn value(&self, name: &str) -> Bytes {
        match self.bytes {
            _ if !self.action.writes() => Bytes::new(),
            Some(0) => Bytes::new(),
            bytes => {
                let filled = bytes.unwrap_or_default().saturating_sub(1 + name.len());
                format!("{name}{},", ".".repeat(filled)).into()
            }
        }
    }
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The operation in the words of the checker's model, which knows values alone.
    pub input: Input,
    /// A compare-and-swap by revision expects this one. Its `input` expects the value that the client was
    /// told with it: no two operations of a run write the same value, so a key holds that value exactly as
    /// long as it has that revision.
    pub expected_revision: Option<OpNumber>,
}

impl From<Input> for Asked {
    fn from(input: Input) -> Self {
        Self { input, expected_revision: None }
    }
}

/// What a client knows of each key; the source of what its compare-and-swaps expect.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The value seen last, as far as the client can tell.
    values: BTreeMap<Bytes, Option<Bytes>>,
    /// The latest revision that came with a value. The answer to an append does not: a swap by revision
    /// that follows it expects what the append replaced, and must fail.
    versions: BTreeMap<Bytes, (OpNumber, Option<Bytes>)>,
}

impl Seen {
    /// What a step asks, if it is about one key. `value` is what it writes, if it writes.
    pub fn asked(&self, step: &Step, value: Bytes) -> Option<Asked> {
        let key = step.key.clone();
        let input = match step.action {
            Action::Close | Action::Restart | Action::Scan => return None,
            Action::Get => Input::Get { key },
            Action::Put => Input::Put { key, value },
            Action::Append => Input::Append { key, value },
            Action::Delete => Input::Delete { key },
            Action::CompareAndSwap => {
                let expected = self.values.get(&key).cloned().flatten();
                Input::CompareAndSwap { key, expected, new: value }
            }
            Action::CompareAndSwapRevision => {
                // What the client knows nothing of, it takes for absent.
                let (revision, expected) = self.versions.get(&key).cloned().unwrap_or((OpNumber(0), None));
                let input = Input::CompareAndSwap { key, expected, new: value };
                return Some(Asked { input, expected_revision: Some(revision) });
            }
        };
        Some(input.into())
    }

    /// Learns from an operation that was answered.
    pub fn learn(&mut self, input: &Input, output: &Output, told: Told) {
        self.learn_value(input, output);
        let (revision, value) = match (input, output) {
            (Input::Get { .. }, Output::Value(value)) => (told.found, value.clone()),
            (Input::Put { value, .. }, _) => (Some(told.revision), Some(value.clone())),
            (Input::Delete { .. }, _) => (Some(OpNumber(0)), None),
            (Input::CompareAndSwap { new, .. }, Output::Swapped { swapped: true, .. }) => {
                (Some(told.revision), Some(new.clone()))
            }
            (Input::CompareAndSwap { .. }, Output::Swapped { previous: Some(previous), .. }) => {
                (told.found, previous.clone())
            }
            _ => return,
        };
        if let Some(revision) = revision {
            self.versions.insert(input.key().clone(), (revision, value));
        }
    }

    fn learn_value(&mut self, input: &Input, output: &Output) {
        let (key, value) = match (input, output) {
            (Input::Get { key }, Output::Value(value)) => (key, value.clone()),
            (Input::Put { key, value }, _) => (key, Some(value.clone())),
            (Input::Append { key, value }, _) => {
                let before = self.values.get(key).cloned().flatten().unwrap_or_default();
                (key, Some([before, value.clone()].concat().into()))
            }
            (Input::Delete { key }, _) => (key, None),
            (Input::CompareAndSwap { key, new, .. }, Output::Swapped { swapped: true, .. }) => {
                (key, Some(new.clone()))
            }
            (Input::CompareAndSwap { key, .. }, Output::Swapped { previous: Some(previous), .. }) => {
                (key, previous.clone())
            }
            _ => return,
        };
        self.values.insert(key.clone(), value);
    }
}

/// Every key that a plan's clients use and servers take, in order.
pub fn keys(plan: &Plan) -> Vec<Bytes> {
    let steps = plan.clients.iter().flat_map(|client| &client.script);
    let key_bytes_max = plan.cluster.limits().key_bytes_max;
    let keys: BTreeSet<_> = steps
        .filter_map(|line| Step::parse(line).ok())
        .filter(|step| step.action.is_call() && step.key.len() <= key_bytes_max)
        .map(|step| step.key)
        .collect();
    keys.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn a_line_is_a_time_an_operation_and_a_key() {
        let step = Step::parse("1.250 append k3").expect("the example of the documentation");
        let expected = Step {
            at: Duration::from_millis(1250),
            action: Action::Append,
            key: bytes("k3"),
            bytes: None,
            keys_max: None,
        };
        assert_eq!(step, expected);
        let values = |line: &str| Step::parse(line).expect("a length may follow").value("c1.7");
        assert_eq!(values("1 put k 9"), "c1.7....,");
        assert_eq!((values("1 put k 3"), values("1 put k")), (bytes("c1.7,"), bytes("c1.7,")));
        let scan = |line: &str| Step::parse(line).expect("a scan").scan();
        assert_eq!(scan("1 scan k 2"), Scan { keys_max: 2, values: true, ..Scan::of("k") });
        assert_eq!(scan("1 scan -"), Scan { values: true, ..Scan::default() });
        assert_eq!((values("1 append k 0"), values("1 get k")), (bytes(""), bytes("")));
        assert_eq!(values("1 put k 70000").len(), 70_000);
        let ends = |line: &str| Step::parse(line).map(|step| step.action);
        assert_eq!((ends("9 close"), ends("9 close -")), (Ok(Action::Close), Ok(Action::Close)));
        assert_eq!(ends("9 restart"), Ok(Action::Restart));
        for bad in [
            "",
            "1 get",
            "x get k",
            "-1 get k",
            "1 read k",
            "1 get a 7",
            "1 put a b",
            "1 put a 1 2",
            "nan get k",
        ] {
            let error = Step::parse(bad).expect_err(bad);
            assert!(error.contains("1.250 append k3"), "{error}");
        }
    }

    #[test]
    fn a_compare_and_swap_expects_what_was_seen_last() {
        let mut seen = Seen::default();
        let cas = Step::parse("0 cas k").expect("good");
        let expects = |seen: &Seen| match seen.asked(&cas, bytes("new")) {
            Some(Asked { input: Input::CompareAndSwap { expected, .. }, expected_revision: None }) => {
                expected
            }
            other => panic!("{other:?}"),
        };
        let told = Told { revision: OpNumber(9), found: Some(OpNumber(9)) };
        assert_eq!(expects(&seen), None);
        seen.learn(&Input::Get { key: bytes("k") }, &Output::Value(Some(bytes("a"))), told);
        assert_eq!(expects(&seen), Some(bytes("a")));
        seen.learn(&Input::Append { key: bytes("k"), value: bytes("b") }, &Output::Done, told);
        assert_eq!(expects(&seen), Some(bytes("ab")));
        let failed = Output::Swapped { swapped: false, previous: Some(Some(bytes("z"))) };
        let Asked { input, .. } = seen.asked(&cas, bytes("new")).expect("it is one on a key");
        seen.learn(&input, &failed, told);
        assert_eq!(expects(&seen), Some(bytes("z")));
        let Asked { input, .. } = seen.asked(&cas, bytes("new")).expect("it is one on a key");
        seen.learn(&input, &Output::Swapped { swapped: true, previous: None }, told);
        assert_eq!(expects(&seen), Some(bytes("new")));
        seen.learn(&Input::Delete { key: bytes("k") }, &Output::Deleted { existed: Some(true) }, told);
        assert_eq!(expects(&seen), None);
    }

    #[test]
    fn a_swap_by_revision_expects_the_latest_one_that_came_with_a_value() {
        let mut seen = Seen::default();
        let swap = Step::parse("0 cas-revision k").expect("good");
        let asked = |seen: &Seen| seen.asked(&swap, bytes("new")).expect("it is one on a key");
        let expects = |seen: &Seen| match asked(seen) {
            Asked { input: Input::CompareAndSwap { expected, .. }, expected_revision: Some(revision) } => {
                (revision.0, expected)
            }
            other => panic!("{other:?}"),
        };
        let told =
            |revision, found: Option<u64>| Told { revision: OpNumber(revision), found: found.map(OpNumber) };
        let key = || bytes("k");
        assert_eq!(expects(&seen), (0, None), "what is not known is taken for absent");
        seen.learn(&Input::Get { key: key() }, &Output::Value(Some(bytes("a"))), told(7, Some(3)));
        assert_eq!(expects(&seen), (3, Some(bytes("a"))));
        seen.learn(&Input::Put { key: key(), value: bytes("b") }, &Output::Done, told(8, None));
        assert_eq!(expects(&seen), (8, Some(bytes("b"))));
        seen.learn(&Input::Append { key: key(), value: bytes("c") }, &Output::Done, told(9, None));
        assert_eq!(expects(&seen), (8, Some(bytes("b"))), "stale: it is not known what the append made");
        let failed = Output::Swapped { swapped: false, previous: Some(Some(bytes("bc"))) };
        seen.learn(&asked(&seen).input, &failed, told(10, Some(9)));
        assert_eq!(expects(&seen), (9, Some(bytes("bc"))));
        let swapped = Output::Swapped { swapped: true, previous: Some(Some(bytes("bc"))) };
        seen.learn(&asked(&seen).input, &swapped, told(11, Some(9)));
        assert_eq!(expects(&seen), (11, Some(bytes("new"))));
        seen.learn(&Input::Delete { key: key() }, &Output::Deleted { existed: Some(true) }, told(12, None));
        assert_eq!(expects(&seen), (0, None));
    }
}
