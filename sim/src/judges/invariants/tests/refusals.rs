use pbkv::protocol::replica::{Implausible, Notice};

use super::*;

#[test]
fn what_is_refused_before_anybody_lies_was_said_by_a_server() {
    let node = Node::start("s1");
    let refusal = Effect::Notice(Notice::PeerRefused { from: server("s2"), why: Implausible::Operations });
    let refuses = |invariants: &mut Invariants| {
        invariants.replica_stepped(&server("s1"), &node.replica, std::slice::from_ref(&refusal))
    };
    let mut invariants = Invariants::new();
    assert_eq!(refuses(&mut invariants).map_err(|broken| broken.invariant), Err("I5"));
    invariants.lies_begin();
    assert_eq!(refuses(&mut invariants), Ok(()));
}
