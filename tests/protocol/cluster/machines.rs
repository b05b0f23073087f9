//! The machines are stepped, and their effects become messages, writes and words.

use std::time::Duration;

use pbkv::protocol::{
    identity::{Boot, ServerId},
    log::{Durable, Write},
    machine::Machine,
    message::PingReplyBody,
    replica::{self, Replica, Start},
    view::Record,
    view_service::{self, Answer, SealKey, ViewService, adoption::Adopt},
};
use testbed::data::hash::stable_hash;

use crate::{
    command::{VIEW_SERVICE, WallClock},
    describe,
    network::Body,
};

use super::{BOOT_STEP, Checked, Cluster};

impl Cluster {
    pub(super) fn step_view_service(&mut self, event: view_service::Event) -> Checked {
        let now = self.viewer.clock.read(self.now);
        let Some(machine) = &mut self.viewer.machine else { return Ok(()) };
        let mut effects = Vec::new();
        machine.step(now, event, &mut effects);
        let name = ServerId::new(VIEW_SERVICE);
        for effect in effects {
            match effect {
                view_service::Effect::Persist { number, record } => {
                    self.invariants.record_written(&record);
                    self.viewer.unwritten.push_back((number, vec![record]));
                }
                view_service::Effect::Answer { ticket, answer } => {
                    let (to, _) = self.answered(&name, ticket)?;
                    let Answer::Ping(reply) = answer else { continue };
                    if let PingReplyBody::Accepted { view: Some(view), .. } = &reply.body {
                        self.invariants.view_told(view).map_err(|broken| broken.to_string())?;
                    }
                    self.send(&name, &to, Body::PingReply(reply));
                }
                view_service::Effect::Dismiss { ticket } => {
                    self.answered(&name, ticket)?;
                }
                view_service::Effect::Probe { server, probe, .. } => {
                    self.send(&name, &server, Body::Probe(probe));
                }
                view_service::Effect::Notice(notice) => {
                    self.coverage.view_notice(&notice);
                    self.happened.extend(describe::view_notice(&notice).map(|it| format!("{name} {it}")));
                }
            }
        }
        Ok(())
    }

    pub(super) fn step_server(&mut self, name: &ServerId, event: replica::Event) -> Checked {
        let server = self.servers.get_mut(name).expect("a server of the cluster");
        let now = server.clock.read(self.now);
        let Some(replica) = &mut server.replica else { return Ok(()) };
        let mut effects = Vec::new();
        self.coverage.before(replica, &event);
        let flushed = event == Replica::flush();
        replica.step(now, event, &mut effects);
        if flushed {
            says_nothing_more(replica, now)?;
        }
        self.coverage.after(replica, &effects);
        server.last_boot = server.last_boot.max(replica.boot());
        let checked = self.invariants.replica_stepped(name, replica, &effects);
        checked.map_err(|broken| broken.to_string())?;
        for effect in effects {
            match effect {
                replica::Effect::Ping(ping) => {
                    self.send(name, &ServerId::new(VIEW_SERVICE), Body::Ping(ping));
                }
                replica::Effect::Send { to, message } => self.send(name, &to, Body::Peer(message)),
                replica::Effect::Persist { number, writes } => {
                    let server = self.servers.get_mut(name).expect("a server of the cluster");
                    server.unwritten.push_back((number, writes));
                }
                replica::Effect::Reply { ticket, reply } => {
                    let (client, call) = self.answered(name, ticket)?;
                    self.send(name, &client, Body::Reply(call, reply));
                }
                replica::Effect::Notice(notice) => {
                    self.happened.push(format!("{name} {}", describe::notice(&notice)));
                }
            }
        }
        Ok(())
    }

    /// The first batch becomes durable. False if there is none.
    pub(super) fn persist(&mut self, node: &ServerId) -> Result<bool, String> {
        if node.as_str() == VIEW_SERVICE {
            let Some((number, records)) = self.viewer.unwritten.pop_front() else { return Ok(false) };
            self.record_durable(records)?;
            self.step_view_service(view_service::Event::Persisted(number))?;
            self.step_view_service(ViewService::flush())?;
            return Ok(true);
        }
        let server = self.servers.get_mut(node).expect("a server of the cluster");
        let Some((number, writes)) = server.unwritten.pop_front() else { return Ok(false) };
        self.writes_durable(node, writes)?;
        self.step_server(node, replica::Event::Persisted(number))?;
        self.flush(node)?;
        Ok(true)
    }

    pub(super) fn record_durable(&mut self, records: Vec<Record>) -> Checked {
        for record in records {
            self.invariants.record_persisted(&record).map_err(|broken| broken.to_string())?;
            self.coverage.record(&self.viewer.disk, &record);
            self.viewer.disk = record;
        }
        Ok(())
    }

    pub(super) fn writes_durable(&mut self, name: &ServerId, writes: Vec<Write>) -> Checked {
        for write in writes {
            let checked = self.invariants.disk_written(name, &write);
            checked.map_err(|broken| broken.to_string())?;
            self.coverage.write(&write);
            let server = self.servers.get_mut(name).expect("a server of the cluster");
            server.is_older &= !matches!(write, Write::Data { .. });
            server.disk.apply(write);
        }
        Ok(())
    }

    pub(super) fn crash(&mut self, node: &ServerId, keep: usize) -> Checked {
        self.tickets.retain(|(at, _), _| at != node);
        if node.as_str() == VIEW_SERVICE {
            self.viewer.machine = None;
            let unwritten = std::mem::take(&mut self.viewer.unwritten);
            return self.record_durable(unwritten.into_iter().flat_map(|(_, it)| it).take(keep).collect());
        }
        self.gathering.remove(node);
        self.coverage.crash(self.servers.get(node).and_then(|server| server.replica.as_ref()));
        let server = self.servers.get_mut(node).expect("a server of the cluster");
        server.replica = None;
        let unwritten = std::mem::take(&mut server.unwritten);
        self.writes_durable(node, unwritten.into_iter().flat_map(|(_, it)| it).take(keep).collect())
    }

    pub(super) fn wipe(&mut self, name: &ServerId) -> Checked {
        self.crash(name, 0)?;
        self.coverage.count("memory lost");
        self.servers.get_mut(name).expect("a server of the cluster").disk = Default::default();
        self.invariants.disk_lost(name);
        Ok(())
    }

    pub(super) fn copy(&mut self, name: &ServerId) {
        let server = self.servers.get_mut(name).expect("a server of the cluster");
        server.copy = server.disk.clone();
    }

    pub(super) fn go_back(&mut self, name: &ServerId) -> Checked {
        self.crash(name, 0)?;
        let server = self.servers.get_mut(name).expect("a server of the cluster");
        server.disk = server.copy.clone();
        server.is_older = true;
        self.invariants.disk_lost(name);
        Ok(())
    }

    pub(super) fn start_server(&mut self, name: &ServerId, clock: WallClock) -> Checked {
        let server = self.servers.get_mut(name).expect("a server of the cluster");
        let aligned = (server.last_boot.0 / BOOT_STEP + 1) * BOOT_STEP;
        // A server that remembers nothing takes the number from a clock; one that remembers counts.
        let forgot = server.disk.boot == Boot(0);
        let back = clock == WallClock::SetBack
            && forgot
            && server.last_boot.0 > BOOT_STEP
            && server.set_back + 1 < BOOT_STEP;
        server.set_back += u64::from(back);
        let boot = match clock {
            WallClock::SetBack if back => Boot(aligned - 2 * BOOT_STEP + server.set_back),
            WallClock::Repeats if forgot => server.last_boot,
            _ => Boot(aligned),
        };
        self.last_nonce += 1;
        let start =
            Start { server: name.clone(), boot, nonce: self.last_nonce, durable: server.disk.clone() };
        server.last_boot = server.last_boot.max(boot);
        // Nobody may count on what an older copy holds.
        let data = server.disk.data.filter(|_| !server.is_older);
        self.invariants.server_started(name, &Durable { data, ..server.disk.clone() });
        let now = server.clock.read(self.now);
        server.replica = Some(Replica::new(self.setup.replica.clone(), start, now));
        self.step_server(name, Replica::flush())
    }

    pub(super) fn start_viewer(&mut self, adopt: Option<Adopt>) {
        self.viewer.epoch += 1;
        let now = self.viewer.clock.read(self.now);
        let options = self.setup.view.clone();
        let (epoch, key) = (self.viewer.epoch, SealKey(1, self.viewer.epoch));
        let machine = match adopt {
            Some(wanted) => ViewService::adopting(options, wanted, epoch, key, now),
            None => ViewService::new(options, self.viewer.disk.clone(), epoch, key, now),
        };
        self.viewer.machine = Some(machine);
    }
}

/// What was flushed has nothing more to say: a second flush at that time changes nothing, not even a number.
fn says_nothing_more(replica: &Replica, now: Duration) -> Checked {
    let (mut again, mut effects) = (replica.clone(), Vec::new());
    again.step(now, Replica::flush(), &mut effects);
    if effects.is_empty() && stable_hash(&again) == stable_hash(replica) {
        return Ok(());
    }
    Err(format!("a second flush of {} at one time is not without effect: {effects:?}", replica.server()))
}
