//! Copies of what is on a disk, as it was at earlier moments: what is put back with a snapshot of a machine,
//! or with a backup of its folder.

/// Copies of one disk, in the order in which they were made.
#[derive(Clone, Debug)]
pub struct Copies<T>(Vec<T>);

impl<T> Default for Copies<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Copies<T> {
    /// Keeps one more.
    pub fn keep(&mut self, copy: T) {
        self.0.push(copy);
    }

    /// One of those that fit, which a hash chooses, if there is one.
    pub fn choose(&self, hash: u64, fits: impl Fn(&T) -> bool) -> Option<&T> {
        let fitting: Vec<_> = self.0.iter().filter(|copy| fits(copy)).collect();
        let place = hash.checked_rem(fitting.len() as u64)?;
        fitting.get(usize::try_from(place).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_that_fits_is_chosen_and_no_other() {
        let mut copies = Copies::default();
        assert_eq!(copies.choose(7, |_| true), None);
        (0..6).for_each(|copy| copies.keep(copy));
        let chosen: Vec<_> = (0..3).map(|hash| copies.choose(hash, |copy| copy % 2 == 1)).collect();
        assert_eq!(chosen, [Some(&1), Some(&3), Some(&5)]);
        assert_eq!(copies.choose(7, |_| false), None);
    }
}
