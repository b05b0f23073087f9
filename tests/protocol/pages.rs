//! Pages of keys: as new as a Get, whole, and no larger than they may be.

use bytes::Bytes;
use pbkv::protocol::{
    command::{PAGE_BYTES_MAX, PAGE_KEYS_MAX, Page, Refusal, Reply, RequestBody, Scan},
    identity::{OpNumber, SessionId},
    machine::{AT_ONCE, Machine},
    options::ReplicaOptions,
    replica::{Event, Replica},
};

use crate::pair::{Driven, Pair, view};

/// The first operation opens it.
const SESSION: SessionId = SessionId(1);

/// Asks a primary that needs nobody's confirmation.
fn page(primary: &mut Driven, scan: &Scan) -> Page {
    primary.step(Replica::flush());
    primary.replies.clear();
    primary.ask(RequestBody::Scan(scan.clone()));
    match primary.replies.pop() {
        Some(Reply::Page(page)) => page,
        other => panic!("no page came: {other:?}"),
    }
}

fn names(page: &Page) -> Vec<&str> {
    page.keys.iter().map(|listed| str::from_utf8(&listed.key).expect("text")).collect()
}

/// A primary alone that holds these keys with values of so many bytes, which operations 2 and so on put.
fn holding(keys: impl IntoIterator<Item = String>, value_bytes: usize) -> Driven {
    told(&ReplicaOptions::default(), keys, value_bytes)
}

/// One with these options.
fn told(options: &ReplicaOptions, keys: impl IntoIterator<Item = String>, value_bytes: usize) -> Driven {
    let mut pair = Pair::new(options, 1);
    assert_eq!(pair.a.open(), Ok(SESSION));
    for (request, key) in (1..).zip(keys) {
        pair.a.put(SESSION, request, key, value_bytes);
        pair.a.step(Event::Flush);
    }
    pair.a
}

#[test]
fn a_page_is_confirmed_like_a_read() {
    let mut pair = Pair::new(&ReplicaOptions::default(), 1);
    assert_eq!(pair.a.open(), Ok(SESSION));
    pair.join(2);
    pair.a.put(SESSION, 1, "key".to_owned(), 1);
    (0..50).for_each(|_| pair.step());
    assert!(pair.is_joined());
    pair.a.replies.clear();
    pair.a.ask(RequestBody::Scan(Scan::of("")));
    pair.a.step(Event::Flush);
    assert!(pair.a.replies.is_empty(), "B has said nothing since: {:?}", pair.a.replies);
    (0..10).for_each(|_| pair.step());
    let [Reply::Page(page)] = &pair.a.replies[..] else { panic!("{:?}", pair.a.replies) };
    assert_eq!((page.revision, names(page), page.more), (OpNumber(2), vec!["key"], false));
}

#[test]
fn pages_together_are_every_key_once() {
    let all: Vec<String> = (0..20).map(|n| format!("k{n:02}")).collect();
    let around = ["j", "k", "l"].map(str::to_owned);
    let mut primary = holding(all.iter().chain(&around).cloned(), 1);
    for keys_max in 1..=23 {
        let mut scan = Scan { keys_max, ..Scan::of("k") };
        let mut seen = Vec::new();
        loop {
            let page = page(&mut primary, &scan);
            assert!(page.keys.len() <= keys_max as usize && page.keys.iter().all(|it| it.value.is_none()));
            seen.extend(names(&page).into_iter().map(str::to_owned));
            scan.go_on(&page);
            if !page.more {
                break;
            }
            assert_eq!(page.keys.len(), keys_max as usize, "it is full");
        }
        assert_eq!(seen.remove(0), "k");
        assert_eq!(seen, all, "in pages of {keys_max}");
    }
    let after = |after: &'static str| Scan { after: after.into(), ..Scan::of("k1") };
    assert_eq!(names(&page(&mut primary, &after("k17x"))), ["k18", "k19"], "from a key that is not there");
    assert_eq!(page(&mut primary, &after("a")).keys.len(), 10, "from one before all that are meant");
    assert!(page(&mut primary, &after("z")).keys.is_empty());
    let first = page(&mut primary, &Scan { values: true, keys_max: 1, ..Scan::of("k0") });
    assert_eq!(first.keys[0].value, Some(Bytes::from("v")));
    assert_eq!((first.keys[0].mod_revision, first.revision), (OpNumber(2), OpNumber(24)));
}

#[test]
fn a_page_has_no_more_keys_and_bytes_than_it_may() {
    let mut primary = holding((0..=PAGE_KEYS_MAX).map(|n| format!("{n:04}")), 1);
    for keys_max in [0, u32::MAX] {
        let page = page(&mut primary, &Scan { keys_max, ..Scan::default() });
        assert!(page.keys.len() == PAGE_KEYS_MAX && page.more);
    }
    // A third of a page each; the last one is longer than a page.
    let mut primary = holding((0..5).map(|n| n.to_string()), PAGE_BYTES_MAX / 3);
    primary.put(SESSION, 6, "9".to_owned(), 2 * PAGE_BYTES_MAX);
    primary.step(Event::Flush);
    let mut scan = Scan { values: true, ..Scan::default() };
    let mut pages = Vec::new();
    loop {
        let page = page(&mut primary, &scan);
        pages.push(names(&page).concat());
        scan.go_on(&page);
        if !page.more {
            break;
        }
    }
    assert_eq!(pages, ["01", "23", "4", "9"]);
    assert_eq!(page(&mut primary, &Scan::default()).keys.len(), 6, "keys alone are short");
}

#[test]
fn a_burst_of_pages_is_read_in_several_goes_and_everything_else_in_between() {
    // A page of two keys has more than 64 bytes: one is read in a go.
    let options = ReplicaOptions { scan_bytes_max: 64, ..ReplicaOptions::default() };
    let mut primary = told(&options, ["a", "b"].map(str::to_owned), 1);
    let scan = || RequestBody::Scan(Scan::of(""));
    primary.replies.clear();
    (0..4).for_each(|_| primary.ask(scan()));
    let [Reply::Page(first)] = &primary.replies[..] else { panic!("{:?}", primary.replies) };
    assert_eq!((names(first), primary.replica.load().scans), (vec!["a", "b"], 3));
    assert_eq!(primary.replica.deadline(), AT_ONCE, "the others are not forgotten");

    // What comes meanwhile has its turn, and the later pages are of a later moment.
    primary.ask(RequestBody::Get { key: "a".into() });
    assert!(matches!(primary.replies[1..], [Reply::Value { .. }]), "{:?}", primary.replies);
    primary.put(SESSION, 3, "c".to_owned(), 1);
    for pages in 1..=3 {
        primary.replies.clear();
        primary.step(Replica::flush());
        let read = primary.replies.iter().filter_map(|reply| match reply {
            Reply::Page(page) => Some(names(page)),
            _ => None,
        });
        // The first flush begins before the put is durable.
        let held = if pages == 1 { vec!["a", "b"] } else { vec!["a", "b", "c"] };
        assert_eq!(read.collect::<Vec<_>>(), [held], "flush {pages}");
    }
    assert_eq!((primary.replica.load().waiting, primary.replica.load().scans), (0, 0));
    assert!(primary.replica.deadline() > primary.now, "nothing is left to do");
}

#[test]
fn so_many_scans_wait_and_no_more() {
    let options = ReplicaOptions { scans_max: 2, scan_bytes_max: 1, ..ReplicaOptions::default() };
    let mut primary = told(&options, ["a"].map(str::to_owned), 1);
    primary.step(Replica::flush());
    primary.replies.clear();
    (0..5).for_each(|_| primary.ask(RequestBody::Scan(Scan::of(""))));
    let busy = Reply::Refused(Refusal::Busy);
    assert!(matches!(&primary.replies[..], [Reply::Page(_), one, other] if *one == busy && *other == busy));
    primary.ask(RequestBody::Get { key: "a".into() });
    assert!(matches!(primary.replies.last(), Some(Reply::Value { .. })), "Gets are other requests");
    (0..2).for_each(|_| primary.step(Replica::flush()));
    primary.replies.clear();
    primary.step(Replica::flush());
    primary.ask(RequestBody::Scan(Scan::of("")));
    assert!(matches!(primary.replies[..], [Reply::Page(_)]), "there is room again: {:?}", primary.replies);
}

#[test]
fn scans_of_a_primary_that_steps_down_are_answered() {
    let options = ReplicaOptions { scan_bytes_max: 1, ..ReplicaOptions::default() };
    let mut primary = told(&options, ["a"].map(str::to_owned), 1);
    let other = Driven::new("C", &options);
    primary.replies.clear();
    (0..3).for_each(|_| primary.ask(RequestBody::Scan(Scan::of(""))));
    primary.answered(Some(view(9, &other, None)));
    let refused = |reply: &Reply| matches!(reply, Reply::Refused(Refusal::NotPrimary { .. }));
    assert!(matches!(primary.replies[0], Reply::Page(_)), "{:?}", primary.replies);
    assert!(primary.replies[1..].iter().all(refused) && primary.replies.len() == 3, "{:?}", primary.replies);
    assert_eq!(primary.replica.load().waiting, 0);
}
