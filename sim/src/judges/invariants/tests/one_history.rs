//! I12 holds on good states and breaks on the smallest bad ones.

use super::*;

#[test]
fn i12_an_operator_alone_gives_data_up() {
    let next = |record: &Record| record.clone().accept_data_loss();
    let before = record(1, &["A"]);
    let mut invariants = with(&before);
    invariants.data_given_up(&next(&before));
    assert_eq!(invariants.record_persisted(&next(&before)), Ok(()));
    breaks("I12", with(&before).record_persisted(&next(&before)));
}

#[test]
fn i12_members_hold_operations_of_their_views_history_or_none() {
    for (operations, holds) in [(0, true), (1, false)] {
        let before = record(1, &["A"]);
        let mut invariants = with(&before);
        for op in 1..=operations {
            let written = invariants.disk_written(&server("A"), &Write::Entry(entry(1, op)));
            assert_eq!(written, Ok(()));
        }
        let given_up = before.accept_data_loss();
        invariants.data_given_up(&given_up);
        let generation = given_up.generation;
        let view = View { generation, ..view(2, &["A"]) };
        let check =
            invariants.record_persisted(&Record { generation, view: Some(view), ..record(2, &["A"]) });
        if holds { assert_eq!(check, Ok(())) } else { breaks("I12", check) }
    }
}

#[test]
fn i12_a_server_keeps_the_operations_that_it_holds() {
    let mut invariants = with(&record(1, &["A"]));
    let anew = Write::Data { data: data("A"), generation: Generation::FIRST.next() };
    assert_eq!(invariants.disk_written(&server("A"), &anew), Ok(()), "it holds none");
    assert_eq!(invariants.disk_written(&server("A"), &Write::Entry(entry(1, 1))), Ok(()));
    breaks("I12", invariants.disk_written(&server("A"), &anew));
    invariants.disk_lost(&server("A"));
    assert_eq!(invariants.disk_written(&server("A"), &anew), Ok(()), "an operator emptied it");
}
