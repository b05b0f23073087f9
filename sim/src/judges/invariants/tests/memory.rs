use super::*;

#[test]
fn i7_a_record_that_is_written_again_acknowledges_nothing() {
    let mut invariants = with(&record(1, &["A", "B"]));
    invariants.disk_lost(&server("B"));
    // The same replicas are in sync: it counts as activated.
    let proposed = record(2, &["A", "B"]);
    invariants.record_written(&proposed);
    assert_eq!(invariants.record_persisted(&proposed), Ok(()));
    let promised = Record { promised: Duration::from_secs(3), ..proposed };
    assert_eq!(invariants.record_persisted(&promised), Ok(()));
    breaks("I7", invariants.record_persisted(&record(2, &["A", "B", "C"])));
}
