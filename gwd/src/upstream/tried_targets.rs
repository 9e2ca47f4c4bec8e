//! Targets that were tried for a request.

/// Maximum number of hosts that are tried for one request.
const TRIED_MAX: usize = 16;

/// Targets that were tried for a request.
#[derive(Default)]
pub(crate) struct TriedTargets {
    targets: [u32; TRIED_MAX],
    count: usize,
    /// Last target of a former round, in which all targets were tried. This target is chosen only
    /// if there is no other.
    avoided: Option<u32>,
}

impl TriedTargets {
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// True if the next host is the last one that may be tried for this request.
    pub(crate) fn is_last(&self) -> bool {
        self.count + 1 >= TRIED_MAX
    }

    /// True if no more hosts may be tried for this request.
    pub(crate) fn is_full(&self) -> bool {
        self.count == TRIED_MAX
    }

    pub(crate) fn add(&mut self, target: usize) {
        if !self.is_full() && !self.has(target) {
            self.targets[self.count] = u32::try_from(target).unwrap_or(u32::MAX);
            self.count += 1;
        }
    }

    /// Begins a new round: all targets may be tried a second time. The last target is used only if
    /// there is no other.
    pub(crate) fn begin_round(&mut self) {
        *self = Self {
            avoided: self.targets[..self.count].last().copied(),
            ..Self::default()
        };
    }

    /// Allows the target that [`Self::begin_round`] excluded. Returns false if no target is
    /// excluded.
    pub(crate) fn stop_avoiding(&mut self) -> bool {
        self.avoided.take().is_some()
    }

    /// True if a target was tried in this round, or is avoided.
    pub(super) fn has(&self, target: usize) -> bool {
        let mut tried = self.targets[..self.count].iter().chain(&self.avoided);
        tried.any(|one| *one as usize == target)
    }
}

/// True if an attempt begins with three quarters of its time or less, because of earlier attempts
/// or of waiting for a connection. Clients can cause such waits while the host is healthy, so a
/// timeout of the attempt does not show that the host is unhealthy.
pub(crate) fn is_cut_short(left_ms: u64, whole_ms: u64) -> bool {
    left_ms.saturating_mul(4) <= whole_ms.saturating_mul(3)
}
