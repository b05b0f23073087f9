//! Situations of the protocol, one claim a file, under `tests/scripts`.
//!
//! A script makes things happen to a cluster and holds what came of it. `UPDATE_GOLDENFILES=1` writes what
//! comes of it into the script; read the difference before you keep it. The commands that change the
//! cluster are those of [`Command`]; besides these there are
//!
//! * `cluster A B C replicas=2 reads=lease small=true clocks=5/0/-5/0`: begins with these servers; `small`
//!   makes checkpoints, state transfers and expired sessions everyday events (single options are set by
//!   `dead-after=5000`, `part-bytes=48` and so on: see [`Script::begin`]); `revisions=true` tells answers
//!   with their revisions; clocks gain so many parts in a thousand, the view service's last;
//! * `accept-data-loss`: an operator allows a view service that is down to begin again without data;
//! * `dead-after 5000`: the dead interval of the view service's next life;
//! * `lose-record`: the record of a view service that is down is gone; `restore-record`: it is found again;
//! * `save-record`: a copy of the record is made, which `restore-old-record` puts in its place;
//! * `adopt A`: the view service, which is down and without a record, starts and adopts this server's data
//!   (`anyway=true`: whatever others hold);
//! * `show view`, `show A`, `show packets`: what the view service's disk holds, what a server is, what is in
//!   flight (with the number by which a message can be picked).
//!
//! Each command prints what happened because of it. At the end the history of the clients is judged, and
//! every step was checked against the invariants.

use std::{error::Error, fmt::Write as _, path::Path, time::Duration};

use goldenscript::Runner;
use pbkv::protocol::{
    identity::ServerId,
    options::{ReadMode, ReplicaOptions, ViewServiceOptions},
    view_service::adoption::Adopt,
};
use test_each_file::test_each_path;

use crate::{
    choices::small_limits,
    cluster::{Cluster, Setup},
    command::{Command, VIEW_SERVICE},
    describe,
    properties::is_linearizable,
};

test_each_path! { in "./tests/scripts" as situation => play }

fn play(path: &Path) {
    let mut script = Script::new();
    goldenscript::run(&mut script, path).expect("the script can be played");
}

fn setup(servers: &[&str]) -> Setup {
    Setup {
        servers: servers.iter().map(|name| ServerId::new(*name)).collect(),
        view: ViewServiceOptions::default(),
        replica: ReplicaOptions::default(),
        gains_permille: Vec::new(),
        shows_revisions: false,
    }
}

pub struct Script {
    pub cluster: Cluster,
}

impl Script {
    /// Three servers, unless the script says otherwise.
    pub fn new() -> Self {
        Self { cluster: Cluster::new(setup(&["A", "B", "C"])) }
    }

    pub fn begin(&mut self, command: &goldenscript::Command) -> Result<(), Box<dyn Error>> {
        let mut words = command.consume_args();
        let servers: Vec<_> = words.rest_pos().into_iter().map(|word| word.value.as_str()).collect();
        let mut setup = setup(&servers);
        if words.lookup_parse("small")?.unwrap_or(false) {
            setup.replica = small_limits();
        }
        setup.view.replicas = words.lookup_parse("replicas")?.unwrap_or(2);
        setup.shows_revisions = words.lookup_parse("revisions")?.unwrap_or(false);
        let (view, replica) = (&mut setup.view, &mut setup.replica);
        for (name, time) in [
            ("dead-after", &mut view.dead_after),
            ("suspicion", &mut view.suspicion_min),
            ("ping-interval", &mut replica.ping_interval),
            ("suspect-after", &mut replica.suspect_after),
            ("join-lag", &mut replica.join_lag_max),
            ("session-ttl", &mut replica.session_ttl),
        ] {
            *time = words.lookup_parse(name)?.map_or(*time, Duration::from_millis);
        }
        for (name, count) in [
            ("part-bytes", &mut replica.chunk_bytes_max),
            ("append-bytes", &mut replica.append_bytes_max),
            ("sessions", &mut replica.sessions_max),
            ("waiting", &mut replica.waiting_max),
            ("copies-min", &mut replica.copies_min),
        ] {
            *count = words.lookup_parse(name)?.unwrap_or(*count);
        }
        for (name, count) in [
            ("checkpoint-interval", &mut replica.checkpoint_interval),
            ("checkpoint-bytes", &mut replica.checkpoint_bytes),
            ("log-entries", &mut replica.log_entries_max),
            ("append-window", &mut replica.append_window),
            ("session-bytes", &mut replica.session_bytes_max),
            ("waiting-bytes", &mut replica.waiting_bytes_max),
        ] {
            *count = words.lookup_parse(name)?.unwrap_or(*count);
        }
        setup.replica.reads = match words.lookup("reads").map(|word| word.value.as_str()) {
            Some("lease" | "Lease") => ReadMode::Lease,
            Some("confirm" | "Confirm") | None => ReadMode::Confirm,
            Some(other) => return Err(format!("reads are confirm or lease, not {other}").into()),
        };
        if let Some(clocks) = words.lookup("clocks") {
            setup.gains_permille = clocks.value.split('/').map(str::parse).collect::<Result<_, _>>()?;
        }
        words.reject_rest()?;
        self.cluster = Cluster::new(setup);
        Ok(())
    }

    fn show(&self, what: &str) -> Result<String, Box<dyn Error>> {
        let mut text = String::new();
        match what {
            "packets" => {
                for (number, packet) in &self.cluster.packets {
                    writeln!(text, "{number}: {packet}")?;
                }
            }
            "view" => {
                let record = &self.cluster.viewer.disk;
                let view = record.view.as_ref().map_or("no view yet".to_owned(), describe::view);
                writeln!(text, "{VIEW_SERVICE}: {view}; stable {}", describe::members(&record.stable))?;
            }
            server => {
                let name = ServerId::new(server);
                let server = self.cluster.servers.get(&name).ok_or("no such server")?;
                match &server.replica {
                    None => writeln!(text, "{name}: down, disk to {:?}", server.disk.log.end())?,
                    Some(replica) => {
                        let mut role = format!("{:?}", replica.role()).to_lowercase();
                        if let Some(primary) = replica.as_primary() {
                            let waits: Vec<_> = primary.waits_for().iter().map(ServerId::as_str).collect();
                            let announced: Vec<_> =
                                primary.announced().iter().map(ServerId::as_str).collect();
                            write!(role, " waiting for [{}]", waits.join(" "))?;
                            write!(role, ", announced [{}]", announced.join(" "))?;
                        }
                        writeln!(
                            text,
                            "{name}: {role} in {}, log {:?} to {:?}, committed {}, {} keys, {} sessions",
                            replica.view_seen(),
                            replica.log().base(),
                            replica.log().end(),
                            replica.commit(),
                            replica.state().keys(),
                            replica.state().sessions(),
                        )?;
                    }
                }
            }
        }
        Ok(text)
    }
}

impl Runner for Script {
    fn run(&mut self, command: &goldenscript::Command) -> Result<String, Box<dyn Error>> {
        match command.name.as_str() {
            "cluster" => self.begin(command)?,
            "show" => {
                let mut words = command.consume_args();
                let what = words.next_pos().ok_or("show what?")?.value.clone();
                words.reject_rest()?;
                return self.show(&what);
            }
            "dead-after" => {
                let mut words = command.consume_args();
                let time = words.next_pos().ok_or("after how many milliseconds?")?.value.parse()?;
                words.reject_rest()?;
                self.cluster.setup.view.dead_after = Duration::from_millis(time);
            }
            "adopt" => {
                let mut words = command.consume_args();
                let server = ServerId::new(words.next_pos().ok_or("adopt whom?")?.value.clone());
                let anyway = words.lookup_parse("anyway")?.unwrap_or(false);
                words.reject_rest()?;
                self.cluster.adopt(Adopt { server, anyway })?;
            }
            "save-record" => self.cluster.save_record(),
            "lose-record" => self.cluster.lose_record()?,
            "restore-old-record" => self.cluster.restore_old_record()?,
            "restore-record" => self.cluster.restore_record()?,
            "accept-data-loss" => self.cluster.accept_data_loss()?,
            name => {
                let known = Command::parse(command)?.ok_or_else(|| format!("{name} is no command"))?;
                self.cluster.apply(&known)?;
            }
        }
        let lines: Vec<_> = self.cluster.happened.drain(..).map(|line| line + "\n").collect();
        Ok(lines.concat())
    }

    fn end_script(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(is_linearizable(&self.cluster)?)
    }
}
