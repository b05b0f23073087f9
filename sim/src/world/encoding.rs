//! Messages as bytes. madsim passes them as values; here each is encoded and decoded as the network of
//! production would carry it, and refused if it is longer than its receiver takes.

use pbkv::wire;
use prost::Message;
use tonic::{Status, codegen::BoxMessage};

/// What can be done with a message whose type was erased.
struct Type {
    copy: fn(&BoxMessage) -> Option<BoxMessage>,
    length: fn(&BoxMessage) -> Option<usize>,
    /// Encodes and decodes it, and says how long it was.
    carry: fn(&BoxMessage) -> Option<(BoxMessage, usize)>,
}

impl Type {
    const fn of<M: Message + Default + Clone + 'static>() -> Self {
        Self {
            copy: |message| {
                message.downcast_ref::<M>().map(|message| Box::new(message.clone()) as BoxMessage)
            },
            length: |message| message.downcast_ref::<M>().map(Message::encoded_len),
            carry: |message| {
                let bytes = message.downcast_ref::<M>()?.encode_to_vec();
                let decoded = M::decode(&*bytes).expect("what was encoded can be decoded");
                Some((Box::new(decoded) as BoxMessage, bytes.len()))
            },
        }
    }
}

/// All messages of the three services.
const TYPES: [Type; 19] = [
    Type::of::<wire::PrimaryMessage>(),
    Type::of::<wire::ReplicaMessage>(),
    Type::of::<wire::PingRequest>(),
    Type::of::<wire::PingResponse>(),
    Type::of::<wire::ProbeRequest>(),
    Type::of::<wire::ProbeResponse>(),
    Type::of::<wire::GetViewRequest>(),
    Type::of::<wire::GetViewResponse>(),
    Type::of::<wire::GetRequest>(),
    Type::of::<wire::GetResponse>(),
    Type::of::<wire::PutRequest>(),
    Type::of::<wire::AppendRequest>(),
    Type::of::<wire::DeleteRequest>(),
    Type::of::<wire::CompareAndSwapRequest>(),
    Type::of::<wire::UpdateResponse>(),
    Type::of::<wire::OpenSessionRequest>(),
    Type::of::<wire::OpenSessionResponse>(),
    Type::of::<wire::CloseSessionRequest>(),
    Type::of::<wire::CloseSessionResponse>(),
];

const MISSING: &str = "every message of the services is in this list: add the type that is missing";

/// A second copy of a message.
///
/// # Panics
///
/// If its type is not listed: a message that is passed over in silence would never be tested.
pub(crate) fn duplicate(message: &BoxMessage) -> BoxMessage {
    TYPES.iter().find_map(|known| (known.copy)(message)).expect(MISSING)
}

/// How many bytes a message takes.
///
/// # Panics
///
/// As [`duplicate`].
pub(crate) fn length(message: &BoxMessage) -> usize {
    TYPES.iter().find_map(|known| (known.length)(message)).expect(MISSING)
}

/// The message as its receiver decodes it, if that takes so many bytes.
///
/// # Errors
///
/// The status that ends the call at a receiver whose limit is smaller.
///
/// # Panics
///
/// As [`duplicate`].
pub(crate) fn carry(message: &BoxMessage, bytes_max: usize) -> Result<BoxMessage, Status> {
    let (decoded, bytes) = TYPES.iter().find_map(|known| (known.carry)(message)).expect(MISSING);
    if bytes <= bytes_max {
        Ok(decoded)
    } else {
        let why =
            format!("decoded message length too large: found {bytes} bytes, the limit is {bytes_max} bytes");
        Err(Status::out_of_range(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_fits_arrives_as_it_was_and_a_longer_one_is_refused() {
        let put = wire::PutRequest { key: "k".into(), value: "0123456789".into(), ..Default::default() };
        let (bytes, message) = (put.encoded_len(), Box::new(put.clone()) as BoxMessage);
        assert_eq!(length(&message), bytes);
        let arrived = carry(&message, bytes).expect("it fits exactly");
        assert_eq!(arrived.downcast_ref::<wire::PutRequest>(), Some(&put));
        let refused = carry(&message, bytes - 1).expect_err("it is one byte too long");
        assert_eq!(refused.code(), tonic::Code::OutOfRange);
        assert_eq!(duplicate(&message).downcast_ref::<wire::PutRequest>(), Some(&put));
    }

    #[test]
    #[should_panic(expected = "add the type that is missing")]
    fn a_message_of_unknown_type_is_a_mistake_of_the_list() {
        duplicate(&(Box::new(7_u32) as BoxMessage));
    }
}
