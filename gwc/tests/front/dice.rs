//! Pseudorandom choices, reproducible by seed.

/// Linear congruential random number generator. It returns only high bits of the state.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Random number below `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % sides
    }

    /// True with a probability of `in_ten` tenths.
    pub(crate) fn chance(&mut self, in_ten: usize) -> bool {
        self.roll(10) < in_ten
    }

    /// Random item of a list.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}
