//! Messages as bytes. madsim passes them as values; here each is encoded and decoded as the network of
//! production would carry it, and refused if it is longer than its receiver takes or its sender may say.

use std::fmt::Debug;

use prost::Message;
use tonic::{Status, codegen::BoxMessage};

use crate::data::hash::stable_hash;

/// Characters of what a message says, at most.
const WORDS_MAX: usize = 120;

/// What can be done with messages of one type that was erased.
pub struct Type {
    copy: fn(&BoxMessage) -> Option<BoxMessage>,
    length: fn(&BoxMessage) -> Option<usize>,
    /// Its name and contents.
    words: fn(&BoxMessage) -> Option<String>,
    /// Stands for its contents.
    hash: fn(&BoxMessage) -> Option<u64>,
    /// Encodes and decodes it, and says how long it was.
    carry: fn(&BoxMessage) -> Option<(BoxMessage, usize)>,
}

impl Type {
    /// Messages of this type.
    pub const fn of<M: Message + Debug + Default + Clone + 'static>() -> Self {
        Self {
            copy: |message| {
                message.downcast_ref::<M>().map(|message| Box::new(message.clone()) as BoxMessage)
            },
            length: |message| message.downcast_ref::<M>().map(Message::encoded_len),
            words: |message| message.downcast_ref::<M>().map(|message| format!("{message:?}")),
            hash: |message| message.downcast_ref::<M>().map(|message| stable_hash(&message.encode_to_vec())),
            carry: |message| {
                let bytes = message.downcast_ref::<M>()?.encode_to_vec();
                let decoded = M::decode(&*bytes).expect("what was encoded can be decoded");
                Some((Box::new(decoded) as BoxMessage, bytes.len()))
            },
        }
    }
}

const MISSING: &str = "every message of the services is in this list: add the type that is missing";

/// A second copy of a message.
///
/// # Panics
///
/// If its type is not listed: a message that is passed over in silence would never be tested.
pub fn duplicate(types: &[Type], message: &BoxMessage) -> BoxMessage {
    types.iter().find_map(|known| (known.copy)(message)).expect(MISSING)
}

/// How many bytes a message takes.
///
/// # Panics
///
/// As [`duplicate`].
pub(crate) fn length(types: &[Type], message: &BoxMessage) -> usize {
    types.iter().find_map(|known| (known.length)(message)).expect(MISSING)
}

/// What a message says, cut if that is long.
pub(crate) fn words(types: &[Type], message: &BoxMessage) -> String {
    let all = types.iter().find_map(|known| (known.words)(message)).unwrap_or_else(|| "a message".into());
    if all.chars().count() <= WORDS_MAX {
        return all;
    }
    all.chars().take(WORDS_MAX).chain("...".chars()).collect()
}

/// Stands for the contents of a message.
///
/// # Panics
///
/// As [`duplicate`].
pub(crate) fn hash(types: &[Type], message: &BoxMessage) -> u64 {
    types.iter().find_map(|known| (known.hash)(message)).expect(MISSING)
}

/// The message as its receiver decodes it, if messages may have up to this many bytes.
///
/// # Errors
///
/// The status that ends the call at an end whose limit is smaller.
///
/// # Panics
///
/// As [`duplicate`].
pub(crate) fn carry(types: &[Type], message: &BoxMessage, bytes_max: usize) -> Result<BoxMessage, Status> {
    let (decoded, bytes) = types.iter().find_map(|known| (known.carry)(message)).expect(MISSING);
    if bytes <= bytes_max {
        Ok(decoded)
    } else {
        let why = format!("message length too large: found {bytes} bytes, the limit is {bytes_max} bytes");
        Err(Status::out_of_range(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of one text.
    #[derive(Clone, PartialEq, Message)]
    struct Note {
        #[prost(string, tag = "1")]
        text: String,
    }

    const TYPES: &[Type] = &[Type::of::<Note>()];

    #[test]
    fn a_message_that_fits_arrives_as_it_was_and_a_longer_one_is_refused() {
        let put = Note { text: "0123456789".into() };
        let (bytes, message) = (put.encoded_len(), Box::new(put.clone()) as BoxMessage);
        assert_eq!(length(TYPES, &message), bytes);
        let arrived = carry(TYPES, &message, bytes).expect("it fits exactly");
        assert_eq!(arrived.downcast_ref::<Note>(), Some(&put));
        let refused = carry(TYPES, &message, bytes - 1).expect_err("it is one byte too long");
        assert_eq!(refused.code(), tonic::Code::OutOfRange);
        assert_eq!(duplicate(TYPES, &message).downcast_ref::<Note>(), Some(&put));
    }

    #[test]
    #[should_panic(expected = "add the type that is missing")]
    fn a_message_of_unknown_type_is_a_mistake_of_the_list() {
        duplicate(TYPES, &(Box::new(7_u32) as BoxMessage));
    }
}
