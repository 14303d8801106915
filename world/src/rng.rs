//! Chance: a generator that one number determines (wyrand).

/// Numbers by chance. The same seed gives the same numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// Begins with this seed.
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed);
        rng.bits();
        rng
    }

    /// One for another purpose, which no number taken from this one changes.
    pub fn fork(&self, purpose: u64) -> Self {
        Self::new(self.0 ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// 64 bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.0) * u128::from(self.0 ^ 0xe703_7ed1_a0b4_28db);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number below `bound`; 0 if that is 0.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).saturating_add(1))
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A waiting time with this mean, as of events that do not depend on each other.
    pub fn wait(&mut self, mean: u64) -> u64 {
        // -ln of a number in (0, 1], good enough by its bits alone: no floating point, which
        // machines round differently.
        let bits = self.bits();
        let whole = u64::from(bits.leading_zeros());
        let part = (bits << (whole + 1).min(63)) >> 40;
        // ln 2 = 0.693; a linear part between the powers of two.
        let log2 = (whole << 24) + ((1 << 24) - part);
        ((u128::from(mean) * u128::from(log2) * 693 / 1000) >> 24) as u64
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A waiting time that is always short, or never, makes a calm world or a broken one.
    #[test]
    fn waits_have_their_mean() {
        let mut rng = Rng::new(7);
        let sum: u64 = (0..100_000).map(|_| rng.wait(1_000)).sum();
        assert!((900..1_100).contains(&(sum / 100_000)), "{}", sum / 100_000);
        assert_eq!(rng.wait(0), 0);
    }

    #[test]
    fn bounds_are_kept() {
        let mut rng = Rng::new(1);
        assert_eq!(rng.below(0), 0);
        let mut seen = [false; 5];
        for _ in 0..1_000 {
            let number = rng.between(3, 7);
            seen[(number - 3) as usize] = true;
        }
        assert_eq!(seen, [true; 5]);
        let (mut a, mut b) = (rng.fork(1), rng.fork(2));
        assert_ne!(a.bits(), b.bits());
    }
}
