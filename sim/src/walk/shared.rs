//! A part of a world that copies of the world share until one of them changes it.

use std::{
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    rc::Rc,
};

/// A value that is copied when it is changed and not alone. It remembers its print, a hash that whoever asks
/// for it defines, until it is changed.
#[derive(Clone)]
pub struct Shared<T>(Rc<Inner<T>>);

#[derive(Clone)]
struct Inner<T> {
    /// 0: not known.
    print: Cell<u64>,
    value: T,
}

impl<T: Clone> Shared<T> {
    /// A value that is not shared yet.
    pub fn new(value: T) -> Self {
        Self(Rc::new(Inner { print: Cell::new(0), value }))
    }

    /// The value, copied if others share it.
    pub fn into_inner(self) -> T {
        Rc::unwrap_or_clone(self.0).value
    }

    /// Its print. `of` makes it, always the same from the same value, if it is not remembered.
    pub fn print(&self, of: impl FnOnce(&T) -> u64) -> u64 {
        if self.0.print.get() == 0 {
            self.0.print.set(of(&self.0.value).max(1));
        }
        self.0.print.get()
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        let inner = Rc::make_mut(&mut self.0);
        inner.print.set(0);
        &mut inner.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_nobody_else_and_ends_the_print() {
        let mut one = Shared::new(vec![1, 2]);
        let other = one.clone();
        let print = |values: &Vec<u64>| values.iter().sum();
        assert_eq!((one.print(print), other.print(|_| unreachable!())), (3, 3));
        one.push(4);
        assert_eq!((one.print(print), other.print(print)), (7, 3));
        assert_eq!((one.into_inner(), &*other), (vec![1, 2, 4], &vec![1, 2]));
    }
}
