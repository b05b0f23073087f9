//! The situations, one a row, and what was considered and cannot happen in a simulation.

use testbed::marks::Row;

use crate::bound::Mark;

/// Where a situation is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At the receiver or the sender of a state transfer.
    Transfer,
    /// At a server that follows a primary.
    Backup,
    /// At a server that becomes, is or was primary.
    Primary,
    /// At a server that answers an update or refuses a request.
    Request,
    /// At a server that answers a Get.
    Read,
    /// At the view service.
    ViewService,
    /// At a process or its disk.
    Process,
    /// In the network between the servers.
    Network,
    /// At a client.
    Client,
}

/// One row a situation: variant, name, place, description. A situation without a row does not exist, and a
/// row that nothing reaches is reported by every exploration.
macro_rules! situations {
    ($($variant:ident $name:literal $place:ident $about:literal;)*) => {
        /// A situation that a good exploration must reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Situation {
            $(#[doc = $about] $variant,)*
        }

        impl Situation {
            /// All of them, by place.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name, a claim that a run bears out or not.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Where it is seen.
            pub fn place(self) -> Place {
                match self { $(Self::$variant => Place::$place,)* }
            }

            /// What it is, in a sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => $about,)* }
            }
        }

        /// The rows of the table, in the order of the variants.
        pub(super) const ROWS: &[Row] = &[$(Row { name: $name, about: $about },)*];
    };
}

impl From<Situation> for Mark {
    fn from(situation: Situation) -> Self {
        Self::situation(situation as usize)
    }
}

situations! {
    ReceiverCrashes "receiver_crashes_during_transfer" Transfer
        "A server goes down while it has a part, but not all, of a transferred state.";
    ReceiverCrashesBeforeDurable "receiver_crashes_before_its_state_is_durable" Transfer
        "A server goes down after it installed a transferred state and before its disk holds it.";
    SenderCrashes "sender_crashes_during_transfer" Transfer
        "A primary goes down while it transfers its state.";
    ViewServiceCrashesInTransfer "view_service_crashes_during_transfer" Transfer
        "The view service goes down while a state transfer is under way.";
    ViewChangesInTransfer "view_changes_during_transfer" Transfer
        "A receiver adopts a later view before it has all parts of a state.";
    TransferInParts "state_arrives_in_several_parts" Transfer
        "A state of more than one part is installed.";
    PartTwice "part_arrives_twice" Transfer
        "A part arrives again while its transfer is under way.";
    OlderPart "part_of_an_older_transfer_ignored" Transfer
        "While parts of one transfer are kept, a part of an earlier one arrives.";
    NewerTransfer "newer_transfer_replaces_unfinished_one" Transfer
        "While parts of one transfer are kept, a later one begins.";
    PartWithoutBeginning "part_without_its_beginning_refused" Transfer
        "A later part arrives at a server that does not have the first.";
    TransferBeginsAnew "transfer_begins_anew_for_forgetful_receiver" Transfer
        "The receiver forgot its parts; the primary begins another transfer.";
    LatePart "late_part_refused" Transfer
        "A part of a state arrives at a server that has committed beyond it.";
    LateWholeState "late_whole_state_refused" Transfer
        "A state of one single part arrives at a server that has committed beyond it: installed, it would turn back time.";
    StalePart "stale_part_refused" Transfer
        "A part of a state arrives from a primary of an older view.";
    StateReplacesLog "transferred_state_replaces_log" Transfer
        "A transferred state replaces a log that does not run through it.";
    StateKeepsSuffix "transferred_state_keeps_log_suffix" Transfer
        "A transferred state lies within the receiver's log, whose end stays.";
    CommitInTransfer "operation_commits_during_transfer" Transfer
        "A primary commits while it transfers its state.";
    CompactionInTransfer "log_compacted_during_transfer" Transfer
        "A primary replaces its snapshot while it transfers its state.";
    TransferAbandoned "transfer_abandoned_for_long_log" Transfer
        "A primary gives up its transfers because the log grew beyond its limit.";
    JoinByLog "joiner_catches_up_by_log_alone" Transfer
        "A joiner becomes in-sync without a state transfer in that view.";

    StaleAppend "stale_append_refused" Backup
        "Operations or a heartbeat arrive from a primary of an older view.";
    LateAppendInsideLog "late_append_cuts_nothing_back" Backup
        "Operations arrive that the log holds already, with more behind them.";
    OtherContents "message_for_former_contents_ignored" Backup
        "A primary's message is meant for contents that this server no longer has.";
    Gap "append_beyond_log_refused" Backup
        "Operations arrive whose predecessors were lost or overtaken.";
    Conflict "append_after_conflicting_log_refused" Backup
        "Operations arrive whose predecessor is another one in this log.";
    CutBack "conflicting_tail_cut_back" Backup
        "The end of a log is replaced by what a later primary has there.";
    AdoptedFromPrimary "view_adopted_from_primary" Backup
        "A server hears of a view from its primary before the view service says so.";
    ViewJumps "view_number_jumps" Backup
        "A server adopts a view and never saw the one before.";
    UnwrittenAckForgotten "unwritten_acknowledgement_forgotten" Backup
        "A backup adopts a later view while an acknowledgement waits for its disk.";

    PromotionWithTail "promotion_with_uncommitted_tail" Primary
        "A server becomes primary with operations at the end of its log that nobody has committed.";
    TailCommitted "inherited_operation_committed" Primary
        "A primary commits an operation of an older view that its predecessor had not.";
    ShorterLog "promotion_with_shorter_log" Primary
        "A server becomes primary although another complete copy has a longer log.";
    PromotionAfterTransfer "promotion_after_state_transfer" Primary
        "A server whose state was transferred to it becomes primary.";
    TwoPrimaries "two_servers_believe_to_be_primary" Primary
        "A server becomes primary while another still believes to be, in an older view.";
    Fenced "primary_learns_of_its_replacement_from_backup" Primary
        "A replica's refusal tells a primary that a later view exists.";
    LateAck "late_acknowledgement_ignored" Primary
        "A replica's acknowledgement arrives in another view than the one it is about.";
    Suspected "silent_replica_reported" Primary
        "A primary reports a replica that it waits for and does not hear.";
    TwinLeads "second_process_of_an_address_is_primary" Primary
        "A process becomes primary that was started at the address of a server that runs.";
    FormerLifeAnswered "answer_to_former_life_ignored" Primary
        "An answer of the view service arrives that was meant for an earlier life.";
    AddressLost "primary_loses_its_address" Primary
        "A primary hears that another process answers at its address.";
    BootRaised "life_renumbered" Primary
        "A server learns that a later life of it is known, and takes a larger number.";

    RetryFromTable "retry_answered_from_session_table" Request
        "An update arrives again after it was executed.";
    RetryFromTableAfterFailover "retry_answered_from_session_table_after_failover" Request
        "An update arrives again, at another primary than the one that first took it, after it was executed.";
    RetryFromTransferredTable "retry_answered_from_transferred_session_table" Request
        "An update arrives again at a primary that knows of it only by a state transfer.";
    RetryJoins "retry_joins_update_in_flight" Request
        "An update arrives again while it is in the log and not committed.";
    DuplicateAcrossViews "duplicate_request_across_views" Request
        "An update enters the log again, in a later view.";
    TwiceInLog "update_committed_twice_executed_once" Request
        "An update stands twice among the committed operations.";
    Superseded "superseded_request_refused" Request
        "An update arrives after a later one of its session was executed.";
    SessionUnknown "request_of_unknown_session_refused" Request
        "An update arrives whose session is not known.";
    SessionExpires "session_expires_while_request_is_under_way" Request
        "A session that was known when its update arrived is forgotten when that is applied.";
    BackupRefuses "request_refused_by_backup" Request
        "A client asks a backup.";
    IdleRefuses "request_refused_by_idle_server" Request
        "A client asks a server without a role.";
    FencedRefuses "request_refused_by_fenced_primary" Request
        "A client asks a primary that knows it was replaced.";
    UpdateRefused "update_in_log_refused_at_step_down" Request
        "A primary that loses its role sends away a client whose update is in the log.";
    StaleReadRefused "read_refused_by_stale_primary" Request
        "A Get that reached a replaced primary is refused when that learns of it.";
    SessionClosed "session_closed" Request
        "A client closes its session.";
    Busy "request_refused_as_busy" Request
        "A server has as many sessions or waiting requests as it may, and sends a client away.";
    ScansFull "scan_refused_as_one_too_many" Request
        "A primary has as many scans that wait as it may, and sends a client away.";
    ScanGoesOn "page_read_in_a_later_go" Request
        "A page that is confirmed waits for the next flush, because enough pages were read.";
    AppendTooLong "append_that_builds_too_much_refused" Request
        "An append would make a value longer than may be, and changes nothing.";
    TooLong "too_long_key_or_value_refused" Request
        "A client asks for something with a key or a value that no server takes.";
    FullOfBytes "update_refused_for_bytes_that_wait" Request
        "A primary sends an update away because of the bytes, not the number, of what waits.";
    FullOfSessions "client_refused_because_of_sessions" Request
        "A primary has as many sessions as it may, or they remember as much, and sends a client away.";
    ManySessions "many_sessions_at_once" Request
        "A session is opened while fifty others are open.";
    TooFewCopies "request_refused_for_too_few_copies" Request
        "A primary refuses an update because fewer copies than its operator asks for would hold it.";
    TooFewHoldIt "update_not_acknowledged_for_too_few_copies" Request
        "An update was executed, and fewer copies than the operator asks for hold it when it is to be acknowledged.";
    CasFails "compare_and_swap_fails" Request
        "A compare-and-swap finds another value than the expected one.";
    CasSucceeds "compare_and_swap_succeeds" Request
        "A compare-and-swap finds the expected value.";
    SwapByRevisionFails "compare_and_swap_by_revision_fails" Request
        "A compare-and-swap by revision finds a key that was changed since.";
    SwapByRevisionSucceeds "compare_and_swap_by_revision_succeeds" Request
        "A compare-and-swap by revision finds a key that was not changed since.";
    SwapByRevisionRetried "compare_and_swap_by_revision_retried_after_failover" Request
        "A compare-and-swap by revision arrives again, at another primary, and is told what its first attempt did.";
    DeletesNothing "delete_of_absent_key" Request
        "A delete finds nothing.";
    DeletesSomething "delete_of_present_key" Request
        "A delete finds a value.";

    SoleRead "read_by_sole_primary" Read
        "A primary without backups answers a Get.";
    ConfirmedRead "read_confirmed_by_backups" Read
        "A Get is answered after all backups confirmed the view.";
    LeasedRead "read_under_lease" Read
        "A primary with backups answers a Get at once, under a lease.";
    LeaseLapsed "lease_lapses_before_read" Read
        "A Get arrives at a primary whose lease is over, and is answered later.";
    OrphanedLease "read_under_lease_of_restarted_view_service" Read
        "A lease serves a Get although the view service that granted it went down meanwhile.";
    LeaseWhileCutOff "read_under_lease_after_replacement_was_due" Read
        "A lease serves a Get while the view service already takes its holder for dead.";
    DriftingLease "read_under_lease_with_drifting_clocks" Read
        "A lease serves a Get while the clocks of holder and grantor differ by 5 % or more in rate.";
    ReadWaitsForLog "read_waits_for_inherited_log" Read
        "A Get arrives before all that an earlier primary may have acknowledged is committed.";
    ReadWaitsForActivation "read_waits_for_activation" Read
        "A Get arrives before the view is activated.";
    PartlyConfirmedStaleRead "some_backup_confirms_stale_read" Read
        "A replaced primary with several backups hears one of them, in the old view, while a Get waits.";
    EmptyRead "read_of_empty_value" Read
        "A Get finds a value without a byte.";
    AbsentRead "read_of_absent_key" Read
        "A Get finds nothing.";

    ReplacedUnactivated "view_replaced_before_activation" ViewService
        "A view is proposed although the one before was never activated.";
    RestartUnactivated "view_service_restarts_before_activation" ViewService
        "The view service is started again while its view is not activated.";
    FirstViewReplaced "first_view_replaced_before_activation" ViewService
        "The first primary dies before it acknowledged the first view.";
    RebootedPrimary "rebooted_primary_keeps_its_role" ViewService
        "A primary that restarted with its data gets a view of its own.";
    LongerLogPreferred "candidate_with_longer_log_preferred" ViewService
        "Of several candidates with different logs one becomes primary.";
    GrowsInPlace "joiner_admitted_within_view" ViewService
        "A joiner becomes in-sync without a new view.";
    JoinerGivenUp "joiner_given_up" ViewService
        "A view is replaced because a joiner failed.";
    LivingJoinerGivenUp "living_joiner_given_up" ViewService
        "A joiner is set aside although it lives: it stands still or cannot be reached by the primary.";
    SuspectLeftOut "living_backup_dropped_on_suspicion" ViewService
        "A backup is dropped although it lives: the primary cannot reach it.";
    StalledLeftOut "living_backup_dropped_for_its_disk" ViewService
        "A backup is dropped although it lives: its disk stalls.";
    SuspicionRemembered "suspicion_remembered_in_later_view" ViewService
        "A living server is not taken although a copy is missing: it was reported in an earlier view.";
    DeafPrimary "primary_that_hears_nothing_replaced" ViewService
        "A primary is replaced whose pings arrive but that does not hear the answers, or is not reached.";
    UnheardPrimary "primary_that_no_backup_hears_replaced" ViewService
        "A primary is replaced that the view service hears and reaches, and that no backup hears.";
    PromotionWaits "promotion_waits_for_lease" ViewService
        "The primary is dead, another could follow, and the view service waits because of a lease.";
    ServerEnded "connection_to_a_server_that_ended_is_refused" ViewService
        "A server has ended, and the view service is refused a connection to its address.";
    SeemsEnded "connection_to_a_living_server_is_refused" ViewService
        "The view service is refused a connection to a server that runs.";
    PromotionAfterGrantor "promotion_over_lease_of_former_view_service" ViewService
        "A primary is replaced whose lease was granted by an earlier life of the view service.";
    LateViewAck "late_acknowledgement_of_view_ignored" ViewService
        "A primary's acknowledgement of a view arrives when a later one was proposed.";
    OvertakenPing "overtaken_ping_ignored" ViewService
        "A ping arrives that was overtaken by a later one of the same life.";
    StaleBoot "ping_of_former_life_refused" ViewService
        "A ping arrives whose life is older than the latest known.";
    ThreeCopies "three_copies_in_sync" ViewService
        "A view with two backups is activated.";
    DataAdopted "data_goes_on_without_record" ViewService
        "The record is lost, and an operator has the data of a server go on.";
    NothingAdopted "adoption_refused" ViewService
        "The record is lost, and the server that an operator names is refused: another one holds more, or it holds nothing.";
    DataGivenUp "data_given_up" ViewService
        "An operator gives all data up: another generation begins, empty.";
    StrangerLeftOut "server_of_another_history_left_out" ViewService
        "A server comes that holds data of another history than the record's.";
    Contested "address_contested" ViewService
        "Pings come under the name of a server that another process answers for.";
    OldRecordNoticed "old_record_noticed" ViewService
        "The view service runs with an old copy of its record, and hears of a view that it does not know.";

    MixedBatch "everything_is_handled_in_one_batch" Process
        "A server handles a request, a message of another server and an answer of the view service before one flush.";
    WriteFails "write_fails_in_part" Process
        "The drive of a server fails, and leaves a part of a batch in its journal.";
    JournalCut "torn_journal_is_cut" Process
        "A server starts and cuts a batch off that its journal does not hold in full.";
    JournalRotten "rotten_journal_is_set_aside" Process
        "A server starts, finds its journal damaged, and begins with nothing.";
    ReadFails "reading_a_journal_fails" Process
        "The drive of a server fails when it reads its journal, or the names of its files.";
    ChangeFails "change_of_a_journal_fails" Process
        "The drive of a server fails when it gives a file another name, removes one, or cuts one off.";
    OldCopy "older_copy_of_a_disk_is_noticed" Process
        "A server starts with an older copy of its disk, is told so, and goes on as a stranger with it.";
    JournalAnew "journal_is_written_anew" Process
        "A server has written its journal anew while it ran.";
    ProgressWhileWriting "joiner_tells_progress_while_it_writes_the_state" Process
        "A server writes a transferred state to its disk, which takes several writes, and sees in between how far it is.";
    JournalLeft "crash_leaves_unfinished_journal" Process
        "A server goes down while it writes its journal anew.";
    RecordWaits "view_waits_for_stalled_disk" Process
        "The view service decided on a view, and its disk has held the record back for longer than a dead interval.";
    AllCopiesDown "every_complete_copy_is_down" Process
        "No server runs that holds all the data.";
    WriteLost "crash_loses_write" Process
        "A server goes down and all of the write to its disk that was under way is lost.";
    WriteTorn "crash_tears_write" Process
        "A server goes down and its disk keeps some, but not all, of the batch under way.";
    WriteKept "crash_keeps_unreported_write" Process
        "A server goes down and its disk holds a write that was never reported as durable.";
    RecordLost "view_service_crash_loses_record" Process
        "The view service goes down before its new record is durable.";

    PairApart "in_sync_pair_cut_off_from_each_other" Network
        "Primary and backup cannot reach each other, and the view service reaches both.";
    PairAlone "in_sync_pair_cut_off_together" Network
        "Primary and backup reach each other, and the view service reaches neither.";
    OutlivesSender "message_outlives_its_sender" Network
        "An answer or a message of a stream arrives when the process that sent it has ended.";
    MuteStream "stream_is_mute_after_a_black_hole" Network
        "After a black hole a stream lets nothing pass, and only a limit to silence ends it.";
    ClientStreamBreaks "stream_of_calls_breaks" Network
        "A stream on which a client makes calls, or several do, breaks.";

    Unknown "outcome_unknown" Client
        "A client gives up and does not know whether its operation took effect.";
    ClientEnded "client_ends_during_its_call" Client
        "A client ends while its update is under way, and comes back as one that knows nothing.";
    ToldOfLoss "client_told_of_loss" Client
        "A client that was answered before is told that an operator gave all data up.";
    NotExecuted "proved_not_executed" Client
        "A client is told that its operation was not and will not be executed.";
}

/// What was considered and is no mark, because no run can reach it, and why.
pub const UNREACHABLE: &[(&str, &str)] = &[
    ("a server of a history that neither preceded the current one nor follows it", "there is one cluster"),
    (
        "a ping dropped because of too many servers",
        "no plan has more servers than its view service has room for",
    ),
    ("an append from a second primary of the same view", "invariant I1; a run in which it happens fails"),
];
