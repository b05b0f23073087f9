//! Which states are known: a table of prints, each with a number.

/// Places of an empty table.
const PLACES_MIN: usize = 1 << 10;

/// A table with open places. A print is a hash already: its upper bits say where it stands.
pub(super) struct Known {
    /// 0: the place is free.
    prints: Vec<u64>,
    numbers: Vec<u32>,
    used: usize,
}

impl Known {
    pub fn new() -> Self {
        Self { prints: vec![0; PLACES_MIN], numbers: vec![0; PLACES_MIN], used: 0 }
    }

    /// Where a print stands, or would.
    fn place(&self, print: u64) -> usize {
        let mask = self.prints.len() - 1;
        let mut place = (print.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as usize & mask;
        while self.prints[place] != 0 && self.prints[place] != print {
            place = (place + 1) & mask;
        }
        place
    }

    /// The number of a print, if it is known.
    pub fn get(&self, print: u64) -> Option<u32> {
        let place = self.place(print.max(1));
        (self.prints[place] != 0).then(|| self.numbers[place])
    }

    /// Gives a number to a print.
    pub fn set(&mut self, print: u64, number: u32) {
        let place = self.place(print.max(1));
        self.numbers[place] = number;
        if self.prints[place] == 0 {
            self.prints[place] = print.max(1);
            self.used += 1;
            if self.used * 4 > self.prints.len() * 3 {
                self.grow();
            }
        }
    }

    fn grow(&mut self) {
        let places = 2 * self.prints.len();
        let before = std::mem::replace(
            self,
            Self { prints: vec![0; places], numbers: vec![0; places], used: self.used },
        );
        for (print, number) in before.prints.into_iter().zip(before.numbers).filter(|(print, _)| *print != 0)
        {
            let place = self.place(print);
            (self.prints[place], self.numbers[place]) = (print, number);
        }
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.prints.len() * (size_of::<u64>() + size_of::<u32>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_again_and_nothing_else() {
        let mut known = Known::new();
        for print in (0..10_000).map(|it| it * 3) {
            assert_eq!(known.get(print), None);
            known.set(print, print as u32);
            known.set(print, print as u32 + 1);
        }
        assert!((1..10_000).all(|it| known.get(it * 3) == Some(it as u32 * 3 + 1)));
        assert!((1..10_000).all(|it| known.get(it * 3 + 1).is_none()));
        assert_eq!(known.bytes(), 12 << 14);
    }
}
