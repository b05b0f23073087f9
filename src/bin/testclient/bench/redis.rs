//! A Redis server, to compare with. An update is a SET, and a WAIT until one replica has it: two copies, like
//! a primary and its backup. A WAIT does not say that the replica's copy is durable.

use std::time::Duration;

use bytes::Bytes;
use pbkv::{
    channel,
    client::ClientError,
    clock::{Clock, SystemClock, before},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::target::Target;

/// A longer line of an answer is none.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// A longer value is none.
const VALUE_BYTES_MAX: usize = 512 << 20;

/// One client of a Redis server.
#[derive(Debug)]
pub struct Redis {
    address: String,
    deadline: Duration,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer, as far as it is looked at.
#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Done,
    Number(u64),
    Value,
    Nothing,
}

impl Redis {
    pub fn new(address: &str, deadline: Duration) -> Self {
        Self { address: address.to_owned(), deadline, connection: None }
    }

    /// Sends commands and reads so many answers. An error says whether anything was sent.
    async fn ask(&mut self, request: &[u8], answers: usize) -> Result<Vec<Reply>, (bool, String)> {
        let until = SystemClock.now() + self.deadline;
        let mut is_sent = false;
        let asked = before(&SystemClock, until, self.asked(request, answers, &mut is_sent)).await;
        let asked = asked.unwrap_or_else(|| Err("no answer in time".into()));
        asked.map_err(|why| {
            self.connection = None; // what comes of it later is no answer to anything else
            (is_sent, format!("{}: {why}", self.address))
        })
    }

    async fn asked(
        &mut self,
        request: &[u8],
        answers: usize,
        is_sent: &mut bool,
    ) -> Result<Vec<Reply>, String> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let stream =
                    TcpStream::connect(&self.address).await.map_err(|error| channel::cause(&error))?;
                stream.set_nodelay(true).map_err(|error| channel::cause(&error))?;
                self.connection.insert(BufReader::new(stream))
            }
        };
        *is_sent = true;
        connection.get_mut().write_all(request).await.map_err(|error| channel::cause(&error))?;
        let mut replies = Vec::with_capacity(answers);
        for _ in 0..answers {
            replies.push(reply(connection).await?);
        }
        Ok(replies)
    }
}

impl Target for Redis {
    async fn get(&mut self, key: Bytes) -> Result<bool, ClientError> {
        let not_executed = |why: String| ClientError::NotExecuted { why };
        match self.ask(&command(&[b"GET", &key]), 1).await.map_err(|(_, why)| not_executed(why))?[..] {
            [Reply::Value] => Ok(true),
            [Reply::Nothing] => Ok(false),
            ref other => Err(not_executed(format!("it answered {other:?} to a GET"))),
        }
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<(), ClientError> {
        let time = self.deadline.as_millis().max(1).to_string(); // 0 would be for ever
        let mut request = command(&[b"SET", &key, &value]);
        request.extend(command(&[b"WAIT", b"1", time.as_bytes()]));
        let replies = self.ask(&request, 2).await.map_err(|(is_sent, why)| match is_sent {
            true => ClientError::Unknown { why },
            false => ClientError::NotExecuted { why },
        })?;
        match replies[..] {
            [Reply::Done, Reply::Number(1..)] => Ok(()),
            ref other => Err(ClientError::Unknown { why: format!("it answered {other:?} to SET and WAIT") }),
        }
    }
}

/// A command on the wire.
fn command(parts: &[&[u8]]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", parts.len()).into_bytes();
    for part in parts {
        wire.extend(format!("${}\r\n", part.len()).as_bytes());
        wire.extend_from_slice(part);
        wire.extend(b"\r\n");
    }
    wire
}

async fn reply(connection: &mut BufReader<TcpStream>) -> Result<Reply, String> {
    let mut line = Vec::new();
    let read = connection.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
    read.map_err(|error| channel::cause(&error))?;
    let text = String::from_utf8_lossy(&line);
    let text = text.strip_suffix("\r\n").ok_or("the connection ended")?;
    let no_reply = || format!("'{text}' is no answer of Redis");
    match text.split_at_checked(1).ok_or_else(no_reply)? {
        ("+", _) => Ok(Reply::Done),
        ("-", why) => Err(why.to_owned()),
        (":", number) => number.parse().map(Reply::Number).map_err(|_| no_reply()),
        ("$", "-1") => Ok(Reply::Nothing),
        ("$", length) => {
            let length = length.parse::<usize>().ok().filter(|length| *length <= VALUE_BYTES_MAX);
            let mut value = vec![0; length.ok_or_else(no_reply)? + "\r\n".len()];
            connection.read_exact(&mut value).await.map_err(|error| channel::cause(&error))?;
            Ok(Reply::Value)
        }
        _ => Err(no_reply()),
    }
}
