//! The zone rule: when blocks that must each stay together fit on one line of time.
//!
//! Ends are inclusive and equal times are concurrent, so zones that only touch do not clash:
//!
//! ```text
//! forward   f====s             forward zones may touch:       f====s
//! forward        f====s        overlap is a clash:               f====s
//!
//! forward   f========s         a backward zone fits if it reaches an end of the forward one,
//! backward           s~~~f     and clashes if it lies between both:    s~~f
//! ```

/// Everything known of one block: a chain of versions with their reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zone {
    /// The earliest return of the block's operations.
    pub(super) first_return: u64,
    /// The latest call of the block's operations.
    pub(super) last_call: u64,
    /// The block's first version.
    pub(super) root: u32,
}

impl Zone {
    /// Whether the block needs the span from its first return to its last call for itself.
    pub(super) fn is_forward(&self) -> bool {
        self.first_return < self.last_call
    }
}

/// Two blocks that both need one instant. `inner` may be a backward zone inside `outer`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clash {
    pub(super) outer: Zone,
    pub(super) inner: Zone,
}

/// The zones of one key, ready for the rule.
#[derive(Debug, Default)]
pub(super) struct Zones {
    forward: Vec<Zone>,
    backward: Vec<Zone>,
}

impl Zones {
    pub(super) fn add(&mut self, zone: Zone) {
        if zone.is_forward() { self.forward.push(zone) } else { self.backward.push(zone) }
    }

    /// Every zone, once.
    pub(super) fn all(&self) -> impl Iterator<Item = &Zone> {
        self.forward.iter().chain(&self.backward)
    }

    /// The forward zone that an instant lies within, ends excluded, once [`Zones::check`] has passed.
    pub(super) fn forward_around(&self, time: u64) -> Option<&Zone> {
        let begun = self.forward.partition_point(|zone| zone.first_return < time);
        begun.checked_sub(1).map(|last| &self.forward[last]).filter(|zone| time < zone.last_call)
    }

    /// Applies the rule. Forward zones are sorted afterwards.
    pub(super) fn check(&mut self) -> Result<(), Clash> {
        self.forward.sort_unstable_by_key(|zone| (zone.first_return, zone.root));
        for pair in self.forward.windows(2) {
            if pair[1].first_return < pair[0].last_call {
                return Err(Clash { outer: pair[0], inner: pair[1] });
            }
        }
        let mut cursor = 0;
        for &inner in &self.backward {
            cursor = self.forward_before(inner.last_call, cursor);
            if let Some(&outer) = cursor.checked_sub(1).map(|last| &self.forward[last])
                && inner.first_return < outer.last_call
            {
                return Err(Clash { outer, inner });
            }
        }
        Ok(())
    }

    /// The blocks in an order of linearization, once [`Zones::check`] has passed.
    ///
    /// A forward zone goes by its beginning. A backward zone goes by its own, even if a forward zone covers
    /// that instant: it then takes effect when that zone ends, which is after the one began and before the
    /// next one does.
    pub(super) fn order(&self) -> Vec<u32> {
        let mut places: Vec<(u64, bool, u32)> = Vec::with_capacity(self.forward.len() + self.backward.len());
        places.extend(self.backward.iter().map(|zone| (zone.last_call, false, zone.root)));
        places.extend(self.forward.iter().map(|zone| (zone.first_return, true, zone.root)));
        // At equal instants a backward zone goes first: the forward one still has its span ahead.
        places.sort_unstable();
        places.into_iter().map(|(_, _, root)| root).collect()
    }

    /// How many forward zones begin before `time`. Starts looking near `hint`, where the last answer was,
    /// because backward zones come in nearly the order of time.
    fn forward_before(&self, time: u64, hint: usize) -> usize {
        let begins_before = |zone: &Zone| zone.first_return < time;
        let (mut low, mut high) = (hint, hint);
        let mut step = 1;
        while low > 0 && !begins_before(&self.forward[low - 1]) {
            high = low - 1;
            low = low.saturating_sub(step);
            step *= 2;
        }
        step = 1;
        while high < self.forward.len() && begins_before(&self.forward[high]) {
            low = high + 1;
            high = (high + step).min(self.forward.len());
            step *= 2;
        }
        low + self.forward[low..high].partition_point(begins_before)
    }
}
