//! A linearizability checker that is nearly linear in the length of the history.
//!
//! # The question
//!
//! Clients call operations on a shared object and get answers. Calls overlap; each operation has a **call**,
//! perhaps a **return**, and took effect somewhere in between. The history is **linearizable** (Herlihy and
//! Wing 1990) if every operation can be given one instant between its call and its return so that the object,
//! taking the operations one at a time in the order of their instants, gives exactly the answers that were
//! seen.
//!
//! ```
//! use linearizability::kv::{Input, Kv, Output};
//! use linearizability::{Options, Recorder, Verdict, check, witness};
//!
//! let mut recorder = Recorder::new();
//! recorder.call(1, 10, Input::Put { key: "x".into(), value: "1".into() })?;
//! recorder.call(2, 11, Input::Get { key: "x".into() })?;
//! recorder.returned(1, 12, Output::Done)?;
//! recorder.returned(2, 13, Output::Value(None))?; // still absent: the get took effect first
//! recorder.call(2, 14, Input::Get { key: "x".into() })?;
//! recorder.returned(2, 15, Output::Value(Some("1".into())))?;
//! let history = recorder.finish();
//!
//! let Verdict::Linearizable { witness } = check(&Kv, &history, &Options::default()) else { panic!() };
//! assert_eq!(witness, [1, 0, 2]);
//! assert_eq!(witness::replay(&Kv, &history, &witness), Ok(()));
//! # Ok::<(), linearizability::HistoryError>(())
//! ```
//!
//! In general the question is NP-complete, even for one register (Gibbons and Korach 1997), and checkers
//! search. With the one thing a test can arrange by itself, that **no value is written twice**, it becomes
//! almost a sort.
//!
//! # The fast path
//!
//! Keys are independent (locality), so take one. If values are unique, each read names the write it saw. A
//! write with its reads is a **block**, and a linearization is nothing but an order of whole blocks: while
//! the value is in place, no other write can take effect.
//!
//! Let `f` be the earliest return of a block's operations and `s` the latest call. If `f < s`, the value must
//! be in place all the way from `f` to `s`, since something had ended by `f` and something else began only at
//! `s`. This is a **forward zone**. Otherwise all of the block's operations are open at once between `s` and
//! `f`, and the whole block fits into any single instant of this **backward zone**.
//!
//! ```text
//! put 1   |-----|                                  block of 1: f = return of its put,
//! get 1                  |--------|                            s = call of its get
//!               f========s                         forward zone
//!
//! put 2                |---------------------|     block of 2, nobody read it
//!                      s~~~~~~~~~~~~~~~~~~~~~f     backward zone; fits after the forward zone
//!
//! put 3             |-|                            backward zone inside the forward zone: contradiction,
//!                   s~f                            3 must have replaced 1 before the get was called
//! ```
//!
//! The history is linearizable if and only if every read returns after its write is called, no two forward
//! zones overlap, and no backward zone lies inside a forward zone. *Necessary*, because within a forward zone
//! nothing else can take effect. *Sufficient*, because a backward zone that is not inside one forward zone
//! touches a gap between them. The cost is one hash lookup for each operation and a sort of the forward
//! zones; a contradiction is two zones, hence at most five operations.
//!
//! **Operations of unknown outcome need no branching.** A read without an answer says nothing. A write
//! without an answer that nobody read can be thought to happen after everything else, where it disturbs
//! nobody: drop it. One that somebody read has surely happened, and its readers give its block all the
//! deadline there is.
//!
//! **Compare-and-swap** from `a` to `b` is the last operation of `a`'s block and the write of `b`: blocks
//! become chains. Two swaps that both found `a` contradict each other. **Append** works the same way: a value
//! that was built by appends shows its own history, so that the longest value read lists the appends in
//! order, and any other value read must be one of its prefixes. Inside a chain the order is known and one
//! sweep checks it against the clock; then the chain's zone joins the others.
//!
//! **Deletes** write "absent" again and again, so that a read of it names no write. It is the only such
//! value. To the rest, a block is one operation that makes the key present, and what remains is the history
//! of an object with two states. An order of it is found by a search that hardly branches: of the operations
//! of one kind, the one with the earliest deadline goes first. Some thousand configurations decide a key with
//! hundreds of operations open at once.
//!
//! # What falls to the search
//!
//! - *Repeated values*. First every writer is ruled out that came too late or was surely overwritten. If
//!   several are left, the read is left out, and what contradicts without it contradicts with it. If nothing
//!   does, the read is given the latest writer, and an order that comes out and stands its replay is a proof.
//!   Only then is there a search.
//! - *Statements of what a value was not*: a failed swap that does not say what it found. They are put into a
//!   finished order where they fit, and most do; for the others, other orders are tried. A search is needed
//!   if none has room.
//! - *Appended pieces that can be cut in two ways*, such as `1` and `11`. A separator at the end of each
//!   avoids this.
//! - *Any other object.* Implement [`Model`]; a mutex, a queue, a set and a counter are in [`objects`].
//!   Queues and sets to which nothing is added twice are decided without a search.
//!
//! Before that, the order is tried that the store itself proposes, if its answers came with **revisions**
//! ([`History::revision`]): the number of the change of the whole store after which an answer was true, for
//! an update its own. Each key's operations are sorted by it, updates before what was read after them, and
//! replayed. An order that stands its replay is a proof, found in linear time for any number of clients;
//! operations of unknown outcome are put between the others by a search of bounded length. An order that does
//! not stand it means nothing: the search goes on as without it, so that wrong or missing revisions never
//! change a verdict.
//!
//! The search is a depth-first one with every shortcut that measurements bore out, and has a budget:
//! [`Options::budget`]. When that ends, or at [`Options::deadline`], or when [`Options::cancel`] says so, the
//! verdict is [`Verdict::Undecided`] with the hardest key and the longest order found. It never guesses.
//!
//! # Verdicts are proofs
//!
//! [`Verdict::Linearizable`] holds an order that [`witness::replay`] proves in linear time.
//! [`Verdict::Violation`] holds operations that are contradictory as a history of their own, with a
//! [`Reason`] as data and as a sentence.
//!
//! # Where to look
//!
//! | for | see |
//! | --- | --- |
//! | recording a history, errors of recorders | [`history`] |
//! | the key-value store | [`kv`] |
//! | checking while a test runs | [`kv::monitor`] |
//! | a mutex, a queue, a set, a counter | [`objects`] |
//! | files of porcupine, Jepsen and our own | [`formats`] |
//! | a drawing | [`html`] |
//! | the slow checker that judges the fast one | [`oracle`] |
//!
//! # Speed
//!
//! In the repository, `cargo run --release -p linearizability --example measure -- speed` judges a million
//! operations of clients that work back to back: 5 to 1,000 clients; 0, 2, 20 or 50 % of the outcomes unknown
//! (of appends up to 20 %). Milliseconds of processor time on one thread of a shared two-core virtual
//! machine, the best of five, the least and the most of all those:
//!
//! | a million operations | verdict | with a witness |
//! | --- | --- | --- |
//! | put/get, 1 key | 64 to 108 | 76 to 128 |
//! | put/get, 10 keys | 72 to 92 | 96 to 128 |
//! | put/get, 1,000 keys | 100 to 116 | 124 to 156 |
//! | half appends, 1,000 keys | 248 to 276 | 264 to 300 |
//! | half appends, 10,000 keys | 364 to 380 | 400 to 420 |
//!
//! Most of it is waiting for memory: streaming the operations once, one hash for each value and one
//! comparison with the value it names; then fresh pages, zones and sorting. What helps is to touch each
//! operation once, while its neighbours are in the cache, and to look a value up among the last few thousand
//! written before the table of all. A check holds at most 160 bytes for each operation beyond the history (56
//! to 84 if half of them are reads). With the history it stays below 300 if half of them are reads, and comes
//! to 350 or so if nearly all are writes. A test in the repository pins both.
//!
//! [`Options::parallel`] on two cores: 64 ms of wall time instead of 85 for 10 keys, 70 instead of 112 for
//! 1,000, 147 instead of 278 for half appends on as many. One key is for one thread (`cargo bench -p
//! linearizability`).
//!
//! `scripts/beside-porcupine.sh` in the repository puts porcupine beside it, in milliseconds of processor
//! time for one check in memory. It got two seconds of wall time for a recorded history, ten for the others.
//! What ran is a transcript of its search, without drawing and partial results, and with the state in the
//! hash of its cache; without that, the first row comes to 6,071.
//!
//! | history | this crate | porcupine | ratio |
//! | --- | --- | --- | --- |
//! | the 108 of porcupine's own tests (102 Jepsen logs, 6 of its key-value text) | 3.7 | 957 | 260; for one file at least 4.6 |
//! | of 263 recorded ones the 202 that porcupine decided | 16.7 | 12,812 | 768; for one file at least 3.3 |
//! | the other 61 | 11.9 | none | |
//! | put/get, 100 clients, 10 keys, 1,000 operations | 0.028 | 5,570 | 196,000 |
//! | put/get, 100 clients, 10 keys, 10,000 operations | 0.40 | none | |
//!
//! No verdict differs. A contradiction made small, which porcupine does not try, is counted apart: with it
//! the first two sums are 9.1 and 24.5. [`Options::smallest`] chooses.
//!
//! `... -- peer` and `... -- files` compare with the same algorithm in Rust (`benches/textbook`: keys apart,
//! linked events, a cache of sets with states), for which ten seconds of wall time were allowed:
//!
//! | history | this crate | textbook search |
//! | --- | --- | --- |
//! | put/get, 5 clients, 1 key, 10,000 operations | 0.37 ms | 36 ms |
//! | put/get, 20 clients, 1 key, 300 operations | 0.005 ms | no answer |
//! | put/get, 100 clients, 10 keys, 10,000 operations | 0.32 ms | no answer |
//! | put/get, 100 clients, 1,000 keys, 100,000 operations | 7.4 ms | 23 ms |
//! | half appends, 20 clients, 10 keys, 10,000 operations | 0.91 ms | 17 ms |
//! | 5 values, 5 clients, 1 key, 10,000 operations: repeated | 4.0 ms | 14 ms |
//! | 5 values, 20 clients, 1 key, 1,000 operations: repeated | 0.39 ms | no answer |
//!
//! Of the recorded histories it decided 201 within a second each, in 6.3 s altogether, this crate the same
//! ones in 17 ms. It is up to twice as fast on some short ones with repeated values that happen to be easy, a
//! few hundredths of a millisecond: there the preparations cost more than the search. `... -- hard` judges
//! histories of one key that need one.
//!
//! # Limits
//!
//! Without revisions, a register with repeated values on many clients can still take exponential time; that
//! is inherent. Fifty values on one key are too much for five million configurations from about 30 clients
//! on, and for 15 clients from some ten thousand operations on. The search remembers how many operations of
//! each kind of unknown outcome were used, which takes memory where many thousands of such kinds can be told
//! apart.
//!
//! Searched are keys that have appends together with repeated puts or repeated pieces; failed swaps that do
//! not say what they found, if none of a few dozen orders of the rest has room for them; queues to which an
//! item is added twice, where three clients with a few hundred operations can be too many; and counters,
//! where a hundred clients that add different amounts are.
//!
//! The search takes a 128-bit hash for a set of operations, so that a wrong "not linearizable" is possible in
//! theory, with a probability of about 10⁻²³ for a hundred million configurations; small contradictions are
//! judged again on their own. The crate uses no random numbers, no clock unless [`Options::deadline`] is set,
//! and no thread unless [`Options::parallel`] asks for them.

mod check;
#[cfg(feature = "command")]
pub mod command;
pub mod formats;
pub mod history;
pub mod html;
pub mod kv;
mod minimise;
pub mod model;
pub mod objects;
pub mod oracle;
mod parts;
mod revisions;
mod search;
mod stop;
mod threads;
pub mod verdict;
pub mod witness;

pub use check::check;
pub use history::{History, HistoryError, Operation, Outcome, Recorder};
pub use model::{Decision, Lens, Model};
pub use parts::{Parts, Shard};
pub use stop::Cancel;
pub use verdict::{Budget, Limit, Options, Reason, Undecided, Verdict, Violation};
