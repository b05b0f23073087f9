//! I14: what was durable on a server's disk is what its next life finds: all of it, and either all of the
//! batch that was under way or nothing of that. A disk of which a bit became another one is noticed, and no
//! other disk is taken for one.
//!
//! Source: R13, and what a storage promises. It compares what the server was told to be durable with what
//! production's journal reads from the simulated folder. It knows nothing of what processes say: whether
//! something was said before it was durable is for I4.

use pbkv::protocol::log::{Durable, Write};
use testbed::judges::broken::{Broken, Check};

/// Whether what was under way is in what was found; else none of it is.
///
/// # Errors
///
/// If what was durable is not what was found.
pub fn kept(durable: &Durable, under_way: &[Write], found: &Durable) -> Result<bool, Broken> {
    let mut whole = durable.clone();
    if *found == whole {
        return Ok(false);
    }
    under_way.iter().for_each(|write| whole.apply(write.clone()));
    if *found == whole {
        return Ok(true);
    }
    let told = |memory: &Durable| {
        let Durable { boot, data, view_seen, log, .. } = memory;
        let (keys, sessions) = (log.snapshot().state.keys(), log.snapshot().state.sessions());
        let data = data.map_or("no store".into(), |data| format!("{data:?}"));
        format!(
            "{boot}, {data}, {view_seen}, {keys} keys and {sessions} sessions after {:?}, the log up to {:?}",
            log.base(),
            log.end()
        )
    };
    Err(broken(format!(
        "({}) was durable, {} changes were under way, and ({}) was found",
        told(durable),
        under_way.len(),
        told(found)
    )))
}

/// Judges whether a server that was started took its disk for damaged.
///
/// # Errors
///
/// If it is wrong.
pub fn noticed(damage: Option<&str>, is_rotten: bool) -> Check {
    match (damage, is_rotten) {
        (None, true) => Err(broken("a bit of it is another one, and nothing was noticed".into())),
        (Some(why), false) => Err(broken(format!("it is as it was, and was taken for damaged: {why}"))),
        _ => Ok(()),
    }
}

fn broken(seen: String) -> Broken {
    Broken { invariant: "I14", promised: "what was durable on a disk is what the next life finds", seen }
}

#[cfg(test)]
mod tests {
    use pbkv::protocol::identity::{Boot, ViewNumber};

    use super::*;

    #[test]
    fn all_of_the_batch_under_way_is_found_or_nothing() {
        let mut durable = Durable::default();
        durable.apply(Write::Boot(Boot(3)));
        let under_way = [Write::ViewSeen(ViewNumber(2)), Write::Boot(Boot(4))];
        assert!(matches!(kept(&durable, &under_way, &durable), Ok(false)));
        let mut half = durable.clone();
        half.apply(under_way[0].clone());
        let why = kept(&durable, &under_way, &half).expect_err("a half");
        assert!(why.seen.contains("2 changes were under way"), "{}", why.seen);
        let mut whole = half;
        whole.apply(under_way[1].clone());
        assert!(matches!(kept(&durable, &under_way, &whole), Ok(true)));
        assert!(kept(&durable, &[], &Durable::default()).is_err(), "what was durable is gone");
    }

    #[test]
    fn damage_is_noticed_and_nothing_else_is_damage() {
        assert!(noticed(None, false).is_ok() && noticed(Some("a bit"), true).is_ok());
        assert!(noticed(None, true).is_err() && noticed(Some("a bit"), false).is_err());
    }
}
