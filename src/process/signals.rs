//! The signals that ask a process to end, SIGINT and SIGTERM. One task hears them from the start of the
//! process to its end.
//!
//! A signal belongs to the code that [claims](Signals::claim) signals at that moment. If none does, it ends
//! the process at once, whatever the process waits for. What was under way decides the exit code and the last
//! words.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::{
    Exit,
    host::{self, Interrupts},
};
use crate::clock::{Clock, SystemClock, before};

/// The last words are not waited for longer than this.
const LAST_WORDS_MAX: Duration = Duration::from_millis(500);

/// A signal that asks a process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What `kill` sends.
    Terminate,
}

impl Signal {
    /// As the manual writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The signals of this process.
#[derive(Clone, Debug)]
pub struct Signals(Arc<watch::Sender<Option<Signal>>>);

impl Signals {
    /// Hears signals from now on, for the life of the process. `under_way` says how the process ends that a
    /// signal ends; `last_words` may block.
    pub fn hear<T: Send + 'static>(
        under_way: impl FnOnce() -> (Exit, T) + Send + 'static,
        last_words: impl FnOnce(Signal, T) + Send + 'static,
    ) -> Self {
        let heard = Self(Arc::new(watch::Sender::new(None)));
        let (mut interrupts, claims) = (Interrupts::new(), heard.0.clone());
        tokio::spawn(async move {
            let signal = loop {
                let signal = interrupts.next().await;
                if claims.send(Some(signal)).is_err() {
                    break signal; // nothing claims it
                }
            };
            // Another thread may hold the stream, and wait for a reader that does not read.
            let (exit, known) = under_way();
            let said = host::aside(move || last_words(signal, known));
            let _ = before(&SystemClock, SystemClock.now() + LAST_WORDS_MAX, said).await;
            end(exit)
        });
        heard
    }

    /// While the claim lives, signals come to it and do not end the process.
    pub fn claim(&self) -> Claim {
        Claim { heard: self.0.subscribe(), is_terminated: false }
    }
}

/// A claim to signals.
#[derive(Debug)]
pub struct Claim {
    heard: watch::Receiver<Option<Signal>>,
    is_terminated: bool,
}

impl Claim {
    /// The next signal. Of several that came meanwhile, only the last.
    pub async fn next(&mut self) -> Signal {
        self.heard.changed().await.expect("the task lives as long as the process");
        let signal = self.heard.borrow_and_update().expect("a signal was heard");
        self.is_terminated |= signal == Signal::Terminate;
        signal
    }

    /// Whether [`Signal::Terminate`] was among those that came.
    pub fn is_terminated(&self) -> bool {
        self.is_terminated
    }
}

/// Ends the process at once: threads that still wait for something are not waited for.
pub fn end(exit: Exit) -> ! {
    std::process::exit(exit.code().into())
}

/// Resolves when the process is asked to end, and says how. For a server, which needs to hear that once. From
/// now on it is heard, whenever this is waited for.
pub fn shutdown() -> impl Future<Output = &'static str> {
    let mut interrupts = Interrupts::new();
    async move { interrupts.next().await.name() }
}
