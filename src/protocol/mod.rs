//! The replication protocol, pure: no async, no clock, no randomness, no IO, no protobuf.
//!
//! One *view service* decides who is primary and who is backup. The *primary* puts all updates in one
//! order, forwards each to its backups, and answers when all of them hold it. Any one of the replicas that
//! must hold an update is enough to go on, so N replicas survive the loss of N - 1.
//!
//! Both sides are machines of one shape ([`machine`]): an event and the node's own time go in, effects come
//! out. Nothing in here waits or acts, so a script, a simulator or a model checker can drive it exactly as
//! a server does. The rules below are numbered; code, scripts, invariants and mutants cite the numbers.
//!
//! # Terms
//!
//! | term | meaning |
//! | --- | --- |
//! | *life* ([`Boot`](identity::Boot)) | one run of a server; each has a larger number |
//! | *data* ([`DataId`](identity::DataId)) | which contents a server holds; whoever lost them has another one and is a stranger |
//! | *generation* ([`Generation`](identity::Generation)) | raised by an operator alone, after all copies were lost |
//! | *view* ([`View`](view::View)) | a number, a primary *in one life*, `insync` and `joining` replicas |
//! | `insync` | the replicas an operation must reach before it is answered, the primary among them |
//! | `joining` | servers that are being brought up to date |
//! | `stable` ([`Record`](view::Record)) | the replicas from which the next primary may be taken |
//! | *activated* | the primary acknowledged the view and the view service recorded it: `stable` = `insync` |
//! | *position* ([`Position`](identity::Position)) | an operation's number with the view that put it into the log |
//! | *match* | up to where a replica's log is known to agree with the primary's, durably, in this view |
//! | *session* ([`SessionId`](identity::SessionId)) | a client's at-most-once memory, named by the operation that opened it |
//!
//! # The view service
//!
//! It may propose another view at any time, whether or not the current one was acknowledged, so nothing
//! that dies can block it. Three rules make that safe; everything else is policy, and a wrong policy costs
//! time, never data.
//!
//! * **V-a** A new primary and every in-sync replica of a new view is taken from `stable`, and the primary
//!   is in sync. Before the first activation `stable` is empty, nothing can have been acknowledged, and any
//!   server may be the first.
//! * **V-b** A proposal leaves `stable` as it is. Only the acknowledgement of that very view by its primary,
//!   in the life the view names, replaces `stable`: by the replicas that the primary confirmed.
//! * **V-c** A record is durable before anybody is told of it.
//! * **VS-START** After a restart everybody counts as heard just now: for a full dead interval nobody is
//!   declared dead, nobody else is promoted, and leases that an earlier life granted are respected.
//! * **VS-PING** A ping is taken in this order:
//!   1. operations of another generation: the server is told to be emptied first;
//!   2. a life older than the newest known: the server is told that number (R15);
//!   3. the server is noted. It is *alive* if it was heard within the dead interval, and within two of them
//!      sent back a time of the view service: who is heard and hears nothing is of no use;
//!   4. no view was ever activated, a dead interval has passed since the start and nobody holds operations
//!      of an unknown view: a living server becomes the first primary, alone, not activated;
//!   5. the primary of the current view, in the right life, confirmed at least `insync` and at most
//!      `insync` and `joining`, data included: these are `insync` and `stable` now (V-b), under the same
//!      number;
//!   6. the policy runs; 7. a primary that asks for a lease and whose view is activated gets one, and for so
//!      long nobody else is promoted; 8. the view is told (V-c).
//! * **VS-POLICY** Touch nothing that works. Another view is proposed if the primary is dead, lost its data or
//!   started a new life; if another member is dead, lost its data, or is suspected by the primary; if a
//!   joiner makes no progress; if a copy is missing, the view is activated, and a spare server lives. The
//!   primary stays if it can, else the candidate with the longest log follows, but not while a lease may
//!   run. All that is wrong is put right in one proposal. What a primary suspected is remembered for a
//!   while, longer each time, or the same server would be taken back and dropped for ever. If every stable
//!   replica came back with other data, the data is lost: that is reported, and nobody is started empty.
//!
//! # A replica
//!
//! * **R1** A later view is adopted durably before anything is said or done in it, and nothing older is
//!   obeyed or said any more. Who the view names as primary, in this life and with this data, promotes
//!   itself (R2); another member is a backup; anybody else is idle. A message of the primary of a later view
//!   is as good as the view. *R1b*: the same number again may bring the news of the activation.
//! * **R2** A new primary carries nothing over: no match, no confirmation. It waits for all of `insync`. Its
//!   log's end is the *takeover end*; operations up to there may have been acknowledged by an earlier primary.
//! * **R3** An update whose session remembers it is answered from there; one that is in the log already is
//!   joined; any other is appended. Whether a session exists is decided when the operation is applied.
//! * **R4** The primary sends each replica what follows its match, and a heartbeat if there is nothing to
//!   say. A replica whose log ends before the primary's begins gets the state (4.4).
//! * **R5** A replica takes an append only for its data and generation, in no older view, and if it holds
//!   the position before it. Entries it has are kept; only a conflict removes anything. It acknowledges the
//!   end of *the message*, when that is durable, not the end of its log.
//! * **R6** An acknowledgement counts in the view it names and from the data that is a member of it.
//!   "A later view exists" stops a primary from answering; who it is in that view, only the view service says.
//! * **R7** An operation is committed (applied, answered) when the view is known to be activated and every
//!   replica that is waited for holds it durably, the primary included.
//! * **R8** When all announced replicas match at least the takeover end, the primary confirms them, in every
//!   ping of the view: this is its acknowledgement.
//! * **R9** A joiner that is close is waited for first; only then, when it matches all that is committed, it is
//!   announced to the view service. Announced, it may be promoted, so only a later view releases it.
//!
//!   ```text
//!   wait for it -> it holds all that is committed -> announce it -> the record holds it -> it may be promoted
//!   ```
//!
//! * **R10** Reads: section 5.
//! * **R11** A replica that is waited for and silent is reported in each ping. The primary itself drops nobody.
//! * **R12** Whoever steps down sends all waiting callers elsewhere, and promises nothing about what they asked.
//! * **R13** A new life keeps data, view and log, and is idle; without memory it keeps nothing.
//! * **R14** Only a primary answers clients.
//! * **R15** An answer of the view service to another life is ignored. A life that is told of a newer one takes
//!   a number beyond it, at any time; its roles are void, its data is not.
//!
//! ## 4.4 State transfer
//!
//! First the logs are compared: a replica that does not hold the position before an append says from where
//! on it may differ, and gets the operations from there. If the primary has no operations from there, it
//! sends a consistent cut of the applied state in parts: keys, sessions and the log's clock. Parts are taken
//! in order and from one transfer; the last one installs the state atomically. A state that is not beyond
//! what the replica has committed is answered and changes nothing; the log beyond it is kept if it runs
//! through it. Meanwhile the primary answers clients and keeps the operations that follow the cut.
//!
//! # Section 5: reads
//!
//! A primary reads its applied state when its view is adopted durably and activated, all up to the takeover
//! end is committed, and one of these holds:
//!
//! * **5.1 sole** It waits for nobody: nobody else can be promoted.
//! * **5.2 confirm** Every replica it waits for answered, in this view, a message that was sent after the Get
//!   arrived. Each of them might be the next primary; all of them, so that the next one is among them. No
//!   clock is trusted.
//! * **5.3 lease** The view service promised to promote nobody else for a time D, counted at the primary from
//!   when it *sent* the ping; of D it uses 4/5, which is safe for clocks whose rates differ from true time
//!   by up to 11 %, suspends included. Evidence of a later life of the primary ends the promise.
//!
//! # Section 6: sessions
//!
//! Whether an update is executed is decided when it is applied, from replicated state: request numbers up to
//! the session's last one have no effect, so the same update may stand in the log twice. Sessions expire by
//! the log's own clock, which goes on from where it stood when the primary changes: every replica forgets
//! the same sessions at the same operation. A request of an unknown session is never executed and creates
//! none. The session table is part of the state that is transferred.
//!
//! # Guarantees and limits
//!
//! Every history of operations is linearizable, and an update is executed at most once, under loss,
//! duplication, reordering and any delay of messages, any partition, crash, restart and pause. With
//! confirmed reads no clock is trusted; leases trust the clocks' rates. An acknowledged update survives
//! unless all of `stable` lose their memory, or all replicas of a set whose acknowledgement of the current
//! view is on its way. The invariants I1 to I7 of the simulator say this about states; I4 is the key: every
//! stable replica with its memory holds all that is committed.
//!
//! Left out: a second view service; changing the number of copies of a running record; values that do not
//! fit in memory; servers that lie.
//!
//! # Reading order
//!
//! [`identity`] and [`view`]: what things are called. [`command`], [`store`], [`log`]: what is replicated.
//! [`message`]: who says what to whom. [`view_service`], then [`replica`]: the machines. [`options`]: times
//! and limits.

pub mod command;
pub mod identity;
pub mod log;
pub mod machine;
pub mod message;
pub mod options;
pub mod replica;
pub mod store;
pub mod view;
pub mod view_service;
