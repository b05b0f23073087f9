//! Makes the way to a failure short: leaves out actions as long as it fails for the same reason.

use std::time::{Duration, Instant};

use testbed::minimise::ddmin;

use super::{Ending, World, replay};

/// The shortest way found, from which no single action can be left out unless time ran out. `is_same` says
/// whether a world that ended so shows the failure that is looked for.
pub fn shrink<W: World>(
    start: &W,
    actions: &[W::Action],
    time_max: Duration,
    is_same: impl Fn(&W, &Ending<W::Failure>) -> bool,
) -> Vec<W::Action> {
    let began = Instant::now();
    let mut kept = actions.to_vec();
    loop {
        let before = kept.len();
        let chosen = |places: &[usize]| places.iter().map(|place| kept[*place]).collect::<Vec<_>>();
        let needed = ddmin(kept.len(), |subsets| {
            subsets.iter().position(|places| {
                if began.elapsed() > time_max {
                    return false;
                }
                let (world, ending) = replay(start.clone(), &chosen(places));
                is_same(&world, &ending)
            })
        });
        kept = possible(start, &chosen(&needed));
        if kept.len() == before || began.elapsed() > time_max {
            return kept;
        }
    }
}

/// Those that change something: what became impossible when others were left out means nothing.
fn possible<W: World>(start: &W, actions: &[W::Action]) -> Vec<W::Action> {
    let mut world = start.clone();
    let mut kept = Vec::new();
    for action in actions {
        match testbed::observer::panics::catch(|| world.take(*action)) {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => kept.push(*action),
            Ok(Err(_)) | Err(_) => {
                kept.push(*action);
                break;
            }
        }
    }
    kept
}
