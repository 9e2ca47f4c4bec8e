//! Control of child processes. Tests stop, kill or continue the processes at fault points or at
//! random moments.

use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::wait;

/// Starts a program with captured output and without input.
#[must_use]
pub fn start(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be run: {error}"))
}

/// Waits until a process has stopped itself with SIGSTOP.
pub fn wait_stopped(child: &Child) {
    let path = format!("/proc/{}/stat", child.id());
    wait::until("the process stops at its point", || {
        let stat = std::fs::read_to_string(&path).expect("our child is there");
        let state = stat
            .rsplit_once(") ")
            .map(|(_, behind)| behind.chars().next());
        assert_ne!(state, Some(Some('Z')), "it ended instead of stopping");
        (state == Some(Some('T'))).then_some(())
    });
}

/// Continues a process that SIGSTOP stopped.
pub fn go_on(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-CONT", &pid]).status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "kill -CONT {pid}"
    );
}

/// Pseudorandom numbers. `GWC_TEST_SEED` sets the seed, so that a failed run can be repeated.
pub struct Random(u64);

impl Random {
    /// Uses the seed from the environment, or a new seed. Prints the seed.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let set = std::env::var("GWC_TEST_SEED").ok();
        let seed = set.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(1, |now| now.as_nanos() as u64)
        });
        eprintln!("{what}: GWC_TEST_SEED={seed}");
        Self(seed)
    }

    /// Next number below `limit` (SplitMix64).
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % limit.max(1)
    }
}
