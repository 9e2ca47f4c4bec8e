//! Which target gets the next request. One algorithm per file.

mod weighted;

use weighted::Weighted;

/// An algorithm with its state, one per worker and upstream.
pub(crate) enum Balance {
    /// Smooth weighted round robin.
    Weighted(Weighted),
}

impl Balance {
    /// `offset` is where to begin, so that workers do not move in step.
    pub(crate) fn new(weights: impl Iterator<Item = u32>, offset: u64) -> Self {
        Self::Weighted(Weighted::build(weights, offset))
    }

    /// The next target's index; those in `avoid` only where nobody else is left.
    pub(crate) fn pick(&self, avoid: u64) -> Option<usize> {
        match self {
            Self::Weighted(weighted) => weighted.pick(avoid),
        }
    }
}
