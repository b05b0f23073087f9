//! Whether a page of keys is one that was asked for.
//!
//! A caller that reads on, counts or deletes relies on that. It would read a page that does not move on for
//! ever, and could delete a key that it did not ask for.

use crate::protocol::command::{Page, Scan};

/// Checks a page against what was asked.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn check(asked: &Scan, page: &Page) -> Result<(), String> {
    let (keys, keys_max) = (page.keys.len(), asked.keys_max());
    if keys > keys_max {
        return Err(format!("it has {keys} keys, and {keys_max} were asked for"));
    }
    if page.more && page.keys.is_empty() {
        return Err("it has no keys, and says that there are more".to_owned());
    }
    let mut before = &asked.after;
    for listed in &page.keys {
        let (key, name) = (&listed.key, listed.key.escape_ascii());
        if !key.starts_with(&asked.prefix) {
            return Err(format!(
                "the key \"{name}\" does not begin with \"{}\"",
                asked.prefix.escape_ascii()
            ));
        }
        if key <= before {
            return Err(format!("the key \"{name}\" does not follow \"{}\"", before.escape_ascii()));
        }
        match (asked.values, &listed.value) {
            (true, None) => return Err(format!("the key \"{name}\" has no value")),
            (false, Some(_)) => {
                return Err(format!("the key \"{name}\" has a value, and values were not asked for"));
            }
            _ => before = key,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::protocol::{command::Listed, identity::OpNumber};

    fn page(keys: &[&'static str], value: Option<&'static str>, more: bool) -> Page {
        let listed = |key: &&'static str| Listed {
            key: Bytes::from(*key),
            mod_revision: OpNumber(1),
            value: value.map(Bytes::from),
        };
        Page { revision: OpNumber(9), keys: keys.iter().map(listed).collect(), more }
    }

    #[test]
    fn a_page_that_was_not_asked_for_is_told() {
        let asked = Scan { prefix: "k".into(), after: "k2".into(), keys_max: 2, values: false };
        for good in [page(&[], None, false), page(&["k3"], None, true), page(&["k20", "kk"], None, true)] {
            assert_eq!(check(&asked, &good), Ok(()));
        }
        for (bad, why) in [
            (page(&["k3", "k4", "k5"], None, false), "it has 3 keys, and 2 were asked for"),
            (page(&[], None, true), "it has no keys, and says that there are more"),
            (page(&["other"], None, false), "\"other\" does not begin with \"k\""),
            (page(&["k2"], None, true), "\"k2\" does not follow \"k2\""),
            (page(&["k4", "k3"], None, false), "\"k3\" does not follow \"k4\""),
            (page(&["k4", "k4"], None, false), "\"k4\" does not follow \"k4\""),
            (page(&["k3"], Some("v"), false), "has a value, and values were not asked for"),
        ] {
            assert!(check(&asked, &bad).is_err_and(|said| said.contains(why)), "{why}");
        }
        let asked = Scan { values: true, ..asked };
        assert_eq!(check(&asked, &page(&["k3"], Some(""), false)), Ok(()));
        assert!(check(&asked, &page(&["k3"], None, false)).is_err_and(|said| said.contains("has no value")));
    }
}
