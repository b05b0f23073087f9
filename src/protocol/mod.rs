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
//! | *generation* ([`Generation`](identity::Generation)) | one history, and the identity of its cluster: a number, raised by an operator alone after all copies were lost, and a nonce |
//! | *view* ([`View`](view::View)) | a number, a primary *in one life*, `insync` and `joining` replicas |
//! | `insync` | the replicas an operation must reach before it is answered, the primary among them |
//! | `joining` | servers that are being brought up to date |
//! | `stable` ([`Record`](view::Record)) | the replicas from which the next primary may be taken |
//! | *activated* | the primary acknowledged the view and the view service recorded it: `stable` = `insync` |
//! | *position* ([`Position`](identity::Position)) | an operation's number with the view that put it into the log |
//! | *match* | up to where a replica's log is known to agree with the primary's, durably, in this view |
//! | *revision* ([`OpNumber`](identity::OpNumber)) | the number of the operation after which an answer was true; a key's *mod revision* is that of its last change |
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
//!   declared dead, and leases that an earlier life granted are respected, however long. In that interval (a
//!   second at least) the view service only listens: it proposes nothing, grants no lease and activates no
//!   view that was not, because its record may be an old copy, and servers that know a later view are heard.
//!   Its first view leaves out some numbers, how many is drawn in each life: had the record been an old copy,
//!   the views told since would most likely have these. So a number is hardly ever given twice, and who was
//!   told of one of them shows what the record is, however late it is heard. The record keeps the longest
//!   dead interval that servers may still go by, for leases and for pings.
//! * **VS-PROBE** A ping names its sender, and nothing proves it. So the view service brings *tokens* to the
//!   addresses that pings name, and believes a ping only if it sends back a token that was made for its
//!   address in this life of the view service, less than two dead intervals ago: then the sender is the
//!   process that answers at that address. Of any other ping nothing is believed or remembered; it has no
//!   effect but one more probe, and its answer says so.
//! * **VS-GONE** The view service keeps a stream to each server that it knows. When it ends, a new one shows
//!   why: where a connection is refused, the process has ended, as far as can be known. Such a server is not
//!   alive, whatever it said, until a token that was made later has reached it. This proves no more than
//!   silence: a lease is waited for, and who comes back in the same life is suspected for a while.
//! * **VS-TELL** When the record of a new view is durable, its members are told that there is one, with a
//!   probe; they ping at once, and hear which.
//! * **VS-PING** A ping that is believed is taken in this order:
//!   1. operations of another generation, or a view beyond the record's known in one: the server is told that
//!      it has another history, is never taken in, and the operator is told as well (R17);
//!   2. contents that were heard in a later life, in a later view, or with more of the log in one view: the
//!      server is told that it holds an older copy of them (R22). A life older than the newest known, or of
//!      its number but of another process: the server is told that number (R15); one so far beyond that it
//!      would leave hardly any for its successors is not believed;
//!   3. the server is noted. It is *alive* if it was heard within the dead interval, if what it sent back of
//!      the view service, an answer's time and a token, is younger than two, and if it is not gone: who is
//!      heard and hears nothing, or is not reached at its address, is of no use;
//!   4. no view was ever activated, a dead interval has passed since the start and no living server
//!      holds operations of an unknown view, or of another generation that is not an earlier one (the record
//!      was lost then, not the data): a living server becomes the first primary, alone, not activated;
//!   5. the primary of the current view, in the right life, confirmed at least `insync` and at most
//!      `insync` and `joining`, data included: these are `insync` and `stable` now (V-b), under the same
//!      number. A first view waits for that as long as servers are heard that stand in its way by 4;
//!   6. the policy runs; 7. a primary that asks for a lease and whose view is activated gets one, and for so
//!      long nobody else is promoted; 8. the view is told (V-c).
//! * **VS-POLICY** Touch nothing that works. Another view is proposed if the primary is dead, lost its data
//!   or started a new life; if another member is dead, lost its data, or is suspected by the primary; if a
//!   joiner makes no progress; if a copy is missing, the view is activated, nobody is joining, and a spare
//!   server lives. The primary stays if it can, else the candidate with the longest log follows, but not
//!   while a lease may run. A primary that reports all of two or more living backups is not believed at once:
//!   if each of them reports that it does not hear the primary either, it is the primary that is replaced;
//!   that is waited for, a third of the dead interval. (Two that do not hear each other disagree, and nobody
//!   can tell which of them is cut off: the primary stays.) All that is wrong is put right in one proposal.
//!   Who was dropped because the primary suspected it, or because it is heard but not reached, is remembered
//!   for a while, longer each time, or the same server would be taken back and dropped for ever. Who obeys a
//!   view beyond the record's takes up no other one, and is no candidate (R19); if nobody else is left, that
//!   is reported. If every stable replica came back with other data, the data is lost: that is reported, and
//!   nobody is started empty. That no other server holds anything of it is said to an operator only when the
//!   service does not listen any more and has taken every ping for a dead interval. A server of this history
//!   that was told of a view beyond the record's or among those left out at the start, or acts as primary in
//!   another one of the record's number, shows that the record is an old copy: that is reported, and nothing
//!   is proposed any more.
//! * **VS-ADOPT** The record is lost and servers hold the data: an operator names the server whose data goes
//!   on. The view service listens without a record, so that every primary it reaches gives up its role (R17),
//!   and then records that server as the only stable replica of its generation, in a view above all it heard
//!   of that. Not if another one holds more (the longest log of the latest view holds all that was committed,
//!   if one stable replica was heard), belongs to a later generation, still acts as primary, or pings and is
//!   not reached. One that holds more and comes later is not taken in, as long as it holds that.
//!
//! # A replica
//!
//! * **R1** A later view is adopted durably before anything is said or done in it, and nothing older is
//!   obeyed or said any more. Who the view names as primary, in this life and with this data, promotes itself
//!   (R2); another member is a backup; anybody else is idle. A message of the primary of a later view is as
//!   good as the view. *R1b*: the same number again may bring the news of the activation. If it names another
//!   primary, a number was given twice, by an old copy of the record: whoever acts as primary gives up its
//!   role.
//! * **R2** A new primary carries nothing over: no match, no confirmation. It waits for all of `insync`. Its
//!   log's end is the *takeover end*; operations up to there may have been acknowledged by an earlier
//!   primary.
//! * **R3** An update whose session remembers it is answered from there; one that is in the log already is
//!   joined; any other is appended. Whether a session exists is decided when the operation is applied.
//! * **R4** The primary sends each replica what follows its match, and a heartbeat if there is nothing to
//!   say. A replica whose log ends before the primary's begins gets the state (4.4).
//! * **R5** A replica takes an append only for its data and generation, in no older view, and if it holds
//!   the position before it. Entries it has are kept; only a conflict removes anything. It acknowledges the
//!   end of *the message*, when that is durable, not the end of its log.
//! * **R6** An acknowledgement counts in the view it names and from the data that is a member of it, if it
//!   answers what was sent. "A later view exists" stops a primary from answering; who it is in that view,
//!   only the view service says.
//! * **R7** An operation is committed (applied, answered) when the view is known to be activated and every
//!   replica that is waited for holds it durably, the primary included.
//! * **R8** When all announced replicas match at least the takeover end, the primary confirms them, in every
//!   ping of the view: this is its acknowledgement.
//! * **R9** A joiner that is close is waited for first: its last round of catching up, to what was the end of
//!   the log when the round began, was short. (Load alone then keeps no joiner out. Ongaro's dissertation,
//!   4.2.1.) Only then, when it matches all that is committed, it is announced to the view service.
//!   Announced, it may be promoted, so only a later view releases it.
//!
//!   ```text
//!   wait for it -> it holds all that is committed -> announce it -> the record has it -> it may be promoted
//!   ```
//!
//! * **R10** Reads: section 5.
//! * **R11** A replica that is waited for and silent is reported in each ping, and so is one that answers and
//!   takes nothing although operations are outstanding; until it does again. The primary itself drops nobody.
//!   It says how long it is silent at most, and a backup that has not heard it for longer reports that.
//! * **R12** Whoever steps down sends all waiting callers elsewhere, and promises nothing about what they
//!   asked.
//! * **R13** A new life keeps data, view and log, and is idle; without memory it keeps nothing.
//! * **R14** Only a primary answers clients.
//! * **R15** An answer of the view service to another life is ignored. A life that is told of a newer one
//!   takes a number beyond it, at any time; its roles are void, its data is not.
//! * **R16** A node never takes its own absence for the silence of others: while it stood still it heard
//!   nothing, and while all that it has to say waits for its disk it is not answered. The primary counts the
//!   silence of its replicas, and the view service that of all servers, by a clock that stands still with the
//!   node ([`presence`]). Leases are counted by the true one.
//! * **R17** Whatever is said or asked names its generation, by number and nonce, and means nothing in
//!   another. A server whose view service has another one keeps its data and gives up its role; a primary
//!   takes another life with it, so that its own view service, if it comes back, proposes another view. Only
//!   an empty server changes its generation, and its data with it. A client goes on to a later generation
//!   when it has been told that its data is lost, and to no other.
//! * **R18** Each ping sends back the token that came last. A server that is not believed, or was not told of
//!   the view that comes with it, pings again as soon as one comes.
//! * **R19** What one message claims ends neither a process nor a role. An append or a state that contradicts
//!   what is committed, and a view number far beyond all that the view service told, are answered by nothing
//!   and reported. A primary that was told of a later view, be it by that view's primary, asks the view
//!   service, and goes on if that still names its own. A backup that follows a view which nobody proposed
//!   comes back with the next one: the view service leaves out the numbers up to it: only if the current
//!   primary goes on in its view, and the backup's log ends in no later one.
//! * **R20** A primary says when it begins and ends to acknowledge what fewer replicas hold than the view
//!   service wants, and neither takes nor acknowledges updates while the record names fewer copies than the
//!   operator asks for. What is kept is bounded in number and in bytes, and copied out of the message it came
//!   in. So is what is read of pages in one go.
//! * **R21** One node decides for all what nodes must agree about. Each answer to a ping says the view
//!   service's dead interval and the wanted number of copies: a server pings at least three times in that
//!   interval, whatever it was told, and often as long as it has heard neither, or is not answered any more.
//!   The lifetime of a session stands in the log, as the primary decided that opened it.
//!
//! * **R22** A disk may be an older copy of itself. A life that the view service has not accepted yet obeys
//!   no primary: it may have forgotten views that it adopted, and operations that it acknowledged. Who is
//!   told that its contents were heard as they became later keeps what it holds, as contents of another
//!   identity.
//!
//! ## 4.4 State transfer
//!
//! First the logs are compared: a replica that does not hold the position before an append says from where on
//! it may differ, and gets the operations from there. If the primary has no operations from there, it sends a
//! consistent cut of the applied state in parts: keys, sessions and the log's clock. Parts are taken in order
//! and from one transfer; the last one installs the state atomically. A state that is not beyond what the
//! replica has committed is answered and changes nothing; the log beyond it is kept if it runs through it.
//! Meanwhile the primary answers clients and keeps the operations that follow the cut, until the replica has
//! caught up or the log exceeds its limit. A transfer goes on in a later view of the same primary: its parts
//! are of committed state, which no later view takes back.
//!
//! # Section 5: reads
//!
//! A primary reads its applied state (a key, or a page of keys at one moment) when its view is adopted
//! durably and activated, all up to the takeover end is committed, and one of these holds:
//!
//! * **5.1 sole** It waits for nobody: nobody else can be promoted.
//! * **5.2 confirm** Every replica it waits for answered, in this view, a message that was sent after the Get
//!   arrived. Each of them might be the next primary; all of them, so that the next one is among them. No
//!   clock is trusted.
//! * **5.3 lease** The view service promised to promote nobody else for a time D, counted at the primary from
//!   when it *sent* the ping; of D it uses 4/5, which is safe for clocks whose rates differ from true time by
//!   up to 11 %, suspends included. Evidence of a later life of the primary, with the same contents, ends the
//!   promise.
//!
//! A page that is confirmed may be read in a later step, so that many of them do not keep the primary from
//! all else (R20): what is applied by then was committed in its view, before anything that a later primary
//! answers.
//!
//! # Section 6: sessions
//!
//! Whether an update is executed is decided when it is applied, from replicated state: request numbers up to
//! the session's last one have no effect, so the same update may stand in the log twice. Sessions expire by
//! the log's own clock, which goes on from where it stood when the primary changes: every replica forgets
//! the same sessions at the same operation. A request of an unknown session is never executed and creates
//! none. The session table is part of the state that is transferred.
//!
//! An unknown session says that *this* attempt is never executed, and nothing about earlier ones: they may
//! have been, and the session forgotten since. A client that is in doubt about an earlier attempt reports so,
//! and does not repeat the update in another session. Its own clock is no proof that the session lived.
//!
//! A refusal for want of room says nothing about who is primary: a client that is refused again asks for the
//! view.
//!
//! # Section 7: revisions
//!
//! Each answer has the revision at which it is true. An update's is the operation that executed it, and is
//! remembered with its outcome, so that a retry is told the same. A read's is the last operation applied when
//! the key is read, never the log's end, of which some may be lost. So what is answered later never has the
//! smaller revision. A key's mod revision is part of the state that is transferred. A swap by revision
//! changes a key whose mod revision is the expected one; 0 is that of an absent key.
//!
//! # Guarantees and limits
//!
//! Every history of operations is linearizable, and an update is executed at most once, under loss,
//! duplication, reordering and any delay of messages, any partition, crash, restart and pause. With confirmed
//! reads no clock is trusted; leases trust the clocks' rates. An acknowledged update survives unless all of
//! `stable` lose their memory, or all replicas of a set whose acknowledgement of the current view is on its
//! way. An older copy of a disk is a loss of memory if the view service has heard its server since the copy
//! was made, in this life of its own, of what the copy does not hold; else it is not noticed, and what was
//! acknowledged since may be lost. The invariants I1 to I12 of the simulator say this about states; I4 is the
//! key: every stable replica with its memory holds all that is committed.
//!
//! Left out: a second view service; changing the number of copies of a running record; values that do not
//! fit in memory; servers that lie ([`message`] says what each claim on the wire can do at worst).
//!
//! # Reading order
//!
//! [`identity`] and [`view`]: what things are called. [`command`], [`log`], [`store`]: what is
//! replicated; [`kv`]: the store of keys and values, which the rest of the protocol does not look into.
//! [`message`]: who says what to whom. [`view_service`], then [`replica`]: the machines. [`options`]: times
//! and limits.

pub mod command;
pub mod identity;
pub mod kv;
pub mod log;
pub mod machine;
pub mod message;
pub mod options;
pub mod presence;
pub mod replica;
pub mod store;
pub mod view;
pub mod view_service;
