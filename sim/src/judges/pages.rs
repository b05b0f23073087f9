//! I13: a page of keys is what the store held at the page's revision: each key that belongs there, no other
//! one, with its value and the operation that changed it last; and that revision is no earlier than any
//! that a client had been told when the page was asked for. Whatever plans ask for is a page that there is.
//!
//! Source: R10 and section 7. It sees keys that no plan names, and keys that are missing. Whether clients
//! could tell is for the checker, to which a page is a Get of each key of the plan. It cannot see what a
//! page should have held if an operation was committed that nobody was seen to write, and takes a page that
//! is shorter than asked for.

use pbkv::protocol::{
    command::{Page, Scan},
    identity::OpNumber,
};
use testbed::judges::broken::{Broken, Check};

use super::{order::ServersOrder, revisions::Floor};

/// Judges a page of this generation, by the order in which the servers took updates in it.
pub fn check((floor, generation): (Floor, u64), asked: &Scan, page: &Page, order: &ServersOrder) -> Check {
    let revision = page.revision;
    let broken = |why: String| {
        let (prefix, after) = (asked.prefix.escape_ascii(), asked.after.escape_ascii());
        Err(Broken {
            invariant: "I13",
            promised: "a page of keys is what the store held at its revision, which is none of before it was asked for",
            seen: format!("the page of \"{prefix}\" after \"{after}\" was answered at {revision}: {why}"),
        })
    };
    if generation <= floor.generation && revision < floor.revision {
        return broken(format!("when it was asked for, a client had been told {} already", floor.revision));
    }
    if page.keys.len() > asked.keys_max() {
        return broken(format!("it has {} keys, and {} were asked for", page.keys.len(), asked.keys_max()));
    }
    if !order.is_complete() {
        return Ok(());
    }
    if revision > order.committed_up_to() {
        return broken(format!("the servers have committed up to {} alone", order.committed_up_to()));
    }
    let mut held = order
        .keys()
        .filter(|key| key.starts_with(&asked.prefix) && **key > asked.after)
        .filter_map(|key| Some((key, value_at(order, key, revision)?)));
    for listed in &page.keys {
        let told = (listed.key.escape_ascii(), listed.mod_revision);
        match held.next() {
            Some((key, (value, modified))) if *key == listed.key => {
                if modified != listed.mod_revision || listed.value.as_ref().is_some_and(|told| told != value)
                {
                    return broken(format!(
                        "\"{}\", changed by {}, is what {modified} made of it",
                        told.0, told.1
                    ));
                }
                if asked.values != listed.value.is_some() {
                    return broken(format!("\"{}\" has a value, or none, and should not", told.0));
                }
            }
            Some((key, _)) => {
                return broken(format!(
                    "it has \"{}\" where the store had \"{}\"",
                    told.0,
                    key.escape_ascii()
                ));
            }
            None => return broken(format!("it has \"{}\", and the store had no more keys there", told.0)),
        }
    }
    match (held.next(), page.more) {
        (Some((key, _)), false) => {
            broken(format!("it ends before \"{}\" and says that is all", key.escape_ascii()))
        }
        (None, true) => broken("it says that there are more keys, and there were none".to_owned()),
        _ => Ok(()),
    }
}

/// Judges that the servers called a page that a plan asks for one that cannot be had, whatever their options
/// and the values that they took.
pub fn refused(asked: &Scan, why: &str) -> Broken {
    let (prefix, after) = (asked.prefix.escape_ascii(), asked.after.escape_ascii());
    Broken {
        invariant: "I13",
        promised: "whatever a server holds can be listed",
        seen: format!("the page of \"{prefix}\" after \"{after}\" was refused as a wrong request: {why}"),
    }
}

/// What a key held after an operation, and which one had changed it last; nothing if it was absent.
fn value_at<'a>(order: &'a ServersOrder, key: &[u8], at: OpNumber) -> Option<(&'a bytes::Bytes, OpNumber)> {
    let versions = order.versions(key);
    let last = versions.partition_point(|version| version.op <= at).checked_sub(1)?;
    Some((versions[last].after.as_ref()?, versions[last].modified))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use pbkv::protocol::{
        command::{Command, Entry, Listed, Update},
        identity::{Position, RequestNumber, SessionId, ViewNumber},
    };

    use super::*;

    /// Opens a session (op1), puts a1 (op2), a2 (op3) and b (op4), and deletes a1 (op5).
    fn order() -> ServersOrder {
        let mut order = ServersOrder::default();
        let put = |key: &'static str| Update::Put { key: key.into(), value: key.into() };
        let updates = [put("a1"), put("a2"), put("b"), Update::Delete { key: "a1".into() }];
        let updates = (1..).zip(updates).map(|(request, update)| Command::Update {
            session: SessionId(1),
            request: RequestNumber(request),
            update,
        });
        let view = ViewNumber(1);
        for command in [Command::OpenSession { ttl: Duration::from_secs(60) }].into_iter().chain(updates) {
            let position = Position { view, op: order.committed_up_to().next() };
            order.written(&Entry { position, timestamp: Duration::ZERO, command });
            order.committed(Duration::from_nanos(1), view);
        }
        order
    }

    fn page(revision: u64, keys: &[(&'static str, u64)], more: bool) -> Page {
        let listed = |(key, by): &(&'static str, u64)| Listed {
            key: Bytes::from(*key),
            mod_revision: OpNumber(*by),
            value: Some(Bytes::from(*key)),
        };
        Page { revision: OpNumber(revision), keys: keys.iter().map(listed).collect(), more }
    }

    fn judged(scan: &Scan, page: &Page) -> String {
        let floor = Floor { revision: OpNumber(2), generation: 1 };
        check((floor, 1), scan, page, &order()).err().map_or(String::new(), |broken| broken.seen)
    }

    #[test]
    fn a_page_is_what_the_store_held() {
        let scan = |prefix: &'static str, after: &'static str, keys_max| Scan {
            prefix: prefix.into(),
            after: after.into(),
            keys_max,
            values: true,
        };
        for (scan, right) in [
            (scan("", "", 0), page(4, &[("a1", 2), ("a2", 3), ("b", 4)], false)),
            (scan("a", "", 1), page(4, &[("a1", 2)], true)),
            (scan("a", "a1", 1), page(4, &[("a2", 3)], false)),
            (scan("a", "a1", 0), page(2, &[], false)),
            (scan("", "", 0), page(5, &[("a2", 3), ("b", 4)], false)),
            (scan("", "", 0), page(5, &[("a2", 3)], true)),
            (scan("c", "", 0), page(5, &[], false)),
        ] {
            assert_eq!(judged(&scan, &right), "", "{right:?}");
        }
        for (scan, wrong, words) in [
            (scan("", "", 0), page(4, &[("a1", 2), ("b", 4)], false), "has \"b\" where the store had \"a2\""),
            (
                scan("", "", 0),
                page(5, &[("a1", 2), ("a2", 3), ("b", 4)], false),
                "where the store had \"a2\"",
            ),
            (scan("a", "", 0), page(4, &[("a1", 2)], false), "ends before \"a2\" and says that is all"),
            (scan("a", "a1", 0), page(4, &[("a2", 3)], true), "there were none"),
            (scan("a", "a1", 0), page(4, &[("a2", 3), ("a3", 4)], false), "had no more keys there"),
            (scan("a", "a1", 0), page(4, &[("a2", 2)], false), "is what op3 made of it"),
            (scan("a", "", 1), page(4, &[("a1", 2), ("a2", 3)], false), "has 2 keys, and 1 were asked for"),
            (scan("a", "", 0), page(1, &[], false), "had been told op2 already"),
            (scan("a", "", 0), page(9, &[], false), "committed up to op5 alone"),
        ] {
            let seen = judged(&scan, &wrong);
            assert!(seen.contains(words), "{seen}");
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_told() {
        let mut bare = page(4, &[("b", 4)], false);
        let scan = |values| Scan { values, ..Scan::of("b") };
        assert!(judged(&scan(false), &bare).contains("has a value, or none"));
        bare.keys[0].value = None;
        assert_eq!(judged(&scan(false), &bare), "");
        assert!(judged(&scan(true), &bare).contains("has a value, or none"));
    }

    #[test]
    fn a_page_of_a_later_generation_begins_anew() {
        let floor = Floor { revision: OpNumber(9), generation: 1 };
        assert_eq!(check((floor, 2), &Scan::of("c"), &page(1, &[], false), &order()), Ok(()));
        assert!(check((floor, 1), &Scan::of("c"), &page(1, &[], false), &order()).is_err());
    }
}
