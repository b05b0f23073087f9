//! Walks of the simulator (`cargo sim walk`) as scripts: the same machines driven by the same choices, in
//! this world of machines and in that one. What comes of them must be the same, or a failure that is saved as
//! a script shows nothing.

use std::{fmt::Write as _, time::Duration};

use crate::scripts::Script;
use pbkv::protocol::view::{Members, View};
use sim::walk::{
    self,
    cluster::{self, Action, Cluster},
};
use testbed::observer::panics;

/// Walks that are compared. Each is some thousand actions long.
const WALKS: u64 = 40;

/// What each machine is, in the words of walks.
fn states(script: &Script) -> Vec<String> {
    let cluster = &script.cluster;
    let view = cluster.viewer.disk.view.as_ref();
    let view = view.map_or("vs: no view yet".to_owned(), |view| {
        let names = |members: &Members| {
            let names: Vec<&str> = members.keys().map(|server| server.as_str()).collect();
            format!("[{}]", names.join(" "))
        };
        let joining = if view.joining.is_empty() { String::new() } else { names(&view.joining) };
        let joining = if joining.is_empty() { joining } else { format!(", joining {joining}") };
        let activated = if view.activated { ", activated" } else { "" };
        let View { number, primary, insync, .. } = view;
        format!("vs: {number}: primary {primary}, in sync {}{joining}{activated}", names(insync))
    });
    let began_at = Duration::from_secs(1_000 * (cluster.servers.len() as u64 + 1));
    let machine = cluster.viewer.machine.as_ref();
    let writes = cluster.viewer.unwritten.len();
    let presence = machine.map_or(Duration::ZERO, |machine| machine.presence() - began_at);
    let mut lines = vec![format!("{view}; {writes} writes under way, was there for {presence:?}")];
    for (name, server) in &cluster.servers {
        let mut line = format!("{name}: ");
        let _ = match &server.replica {
            None => write!(line, "down, disk to {:?}", server.disk.log.end()),
            Some(machine) => write!(
                line,
                "{:?} in {}, log {:?} to {:?}, committed {}",
                machine.role(),
                machine.view_seen(),
                machine.log().base(),
                machine.log().end(),
                machine.commit()
            ),
        };
        lines.push(line);
    }
    lines
}

/// What the script of so many actions of a walk comes to here, and there.
fn played(start: &Cluster, actions: &[Action]) -> (Result<Vec<String>, String>, Vec<String>) {
    let written = cluster::script(start, actions);
    let here = panics::catch(|| {
        let mut script = Script::new();
        goldenscript::generate(&mut script, &written.text).map(|_| states(&script))
    });
    let here = here.and_then(|played| played.map_err(|why| why.to_string()));
    (here, written.states)
}

#[test]
fn a_walk_that_is_saved_as_a_script_comes_to_the_same() {
    for seed in 0..WALKS {
        let (start, walk) = walk::of_from_start(seed);
        let differs = |length: usize| {
            let (here, there) = played(&start, &walk.actions[..length]);
            here.as_ref() != Ok(&there)
        };
        if !differs(walk.actions.len()) {
            continue;
        }
        let (mut same, mut other) = (0, walk.actions.len());
        while other - same > 1 {
            let middle = usize::midpoint(same, other);
            if differs(middle) { other = middle } else { same = middle }
        }
        let (here, there) = played(&start, &walk.actions[..other]);
        panic!("walk {seed} differs from action {same} on, {:?}:\n{here:#?}\n{there:#?}", walk.actions[same]);
    }
}
