//! Operations that cannot be told apart.

use rustc_hash::FxHashMap;

use super::events::NONE;

/// Operations of unknown outcome of one class, by local number, in the order of their calls.
pub(super) struct Kind {
    pub(super) members: Vec<u32>,
    pub(super) used: u16,
}

/// Groups the operations of unknown outcome, which follow the first `returned` ones.
pub(super) fn kinds(classes: &[u32], returned: usize) -> Vec<Kind> {
    let mut kind_of: FxHashMap<u32, usize> = FxHashMap::default();
    let mut kinds: Vec<Kind> = Vec::new();
    for (number, &class) in classes.iter().enumerate().skip(returned) {
        let kind = *kind_of.entry(class).or_insert(kinds.len());
        if kind == kinds.len() || kinds[kind].members.len() == usize::from(u16::MAX) {
            kind_of.insert(class, kinds.len());
            kinds.push(Kind { members: vec![number as u32], used: 0 });
        } else {
            kinds[kind].members.push(number as u32);
        }
    }
    kinds
}

/// The classes, or [`NONE`] for those with a single member.
pub(super) fn shared(classes: &[u32]) -> Vec<u32> {
    let mut members = vec![0u32; classes.iter().map(|&class| class as usize + 1).max().unwrap_or(0)];
    classes.iter().for_each(|&class| members[class as usize] += 1);
    classes.iter().map(|&class| if members[class as usize] > 1 { class } else { NONE }).collect()
}
