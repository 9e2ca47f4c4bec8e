//! Time limit for libgit2's matching of ignore rules and attributes.
//!
//! libgit2 compares a path with a pattern of n wildcards in up to exponential time: `*a*a*a*b`
//! tries every distribution of the letters. The author of a pull request writes `.gitignore` and
//! `.gitattributes`. Therefore, all functions of libgit2 that match these patterns run on a
//! separate thread. The caller waits for it only as long as the process has time left.

use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use git2::Repository;

use super::refusal::Refusal;

/// Maximum time that a process spends on matching, in seconds, apart from [`SHARE`] of its run
/// time.
const SECONDS_MAX: u64 = 10;

/// Part of the run time that may also be spent on matching: 1/20. Long-running processes such as a
/// language server match the same rules again and again.
const SHARE: u32 = 20;

/// Maximum time of one status of a whole work tree, in seconds.
const STATUS_SECONDS_MAX: u64 = 40;

/// Maximum number of bytes of a pattern file that are searched for the costliest rule.
const SEARCHED_BYTES_MAX: u64 = 1 << 20;

/// Number of wildcards from which a rule is named as the cause.
const MANY_WILDCARDS: usize = 4;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time spent on matching, in microseconds. [`EXHAUSTED`] after a match that did not end.
static SPENT_US: AtomicU64 = AtomicU64::new(0);

const EXHAUSTED: u64 = u64::MAX;

/// Error: matching took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooSlow;

/// Repository that several threads share.
pub(super) type SharedRepository = Arc<Mutex<Repository>>;

/// Runs a function that matches patterns. Fails if the process has no time left for it.
pub(super) fn run<T, F>(repository: &SharedRepository, matching: F) -> Result<T, TooSlow>
where
    T: Send + 'static,
    F: FnOnce(&Repository) -> T + Send + 'static,
{
    let start = *START;
    let spent = SPENT_US.load(Ordering::Relaxed);
    let allowed = Duration::from_secs(SECONDS_MAX) + start.elapsed() / SHARE;
    let left = allowed.saturating_sub(Duration::from_micros(spent));
    if left.is_zero() {
        return Err(TooSlow);
    }
    let repository = Arc::clone(repository);
    let timed = move || {
        let repository = repository.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let result = matching(&repository);
        (result, began.elapsed())
    };
    match on_thread(timed, left) {
        Some((result, took)) => {
            let took = u64::try_from(took.as_micros()).unwrap_or(EXHAUSTED);
            let add = |spent: u64| Some(spent.saturating_add(took));
            let _before = SPENT_US.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            Ok(result)
        }
        None => {
            SPENT_US.store(EXHAUSTED, Ordering::Relaxed);
            Err(TooSlow)
        }
    }
}

/// Runs a function that determines the status of a work tree. Fails if it takes too long.
pub fn status<T: Send + 'static>(
    status: impl FnOnce() -> Result<T, git2::Error> + Send + 'static,
) -> Result<T, git2::Error> {
    let too_slow = || git2::Error::from_str(&why("Git's ignore rules and attributes", None));
    if SPENT_US.load(Ordering::Relaxed) == EXHAUSTED {
        return Err(too_slow());
    }
    on_thread(status, Duration::from_secs(STATUS_SECONDS_MAX)).unwrap_or_else(|| {
        SPENT_US.store(EXHAUSTED, Ordering::Relaxed);
        Err(too_slow())
    })
}

/// Runs a function on a thread. `None` if the function does not end in time; the thread then runs
/// on until the process ends.
fn on_thread<T: Send + 'static>(
    function: impl FnOnce() -> T + Send + 'static,
    limit: Duration,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::Builder::new().name("git-patterns".to_owned());
    thread.spawn(move || drop(sender.send(function()))).ok()?;
    receiver.recv_timeout(limit).ok()
}

/// Refusal of a path whose ignore rules could not be matched in time. `root` is the work tree.
pub(super) fn refusal(root: &Path, path: &Path) -> Refusal {
    let rule = costliest(root, path, ".gitignore");
    Refusal::Unreadable(why("Git's ignore rules", rule))
}

/// Reason why matching failed, and what to change.
fn why(what: &str, rule: Option<String>) -> String {
    let rule = match rule {
        Some(rule) => format!("the rule in {rule}"),
        None => "rules with many `*`".to_owned(),
    };
    format!(
        "{what} take more than {SECONDS_MAX} s to match; replace {rule} by rules with at most two `*` each"
    )
}

/// Place of the rule with the most wildcards in the pattern files above a path: `.gitignore:3`.
fn costliest(root: &Path, path: &Path, name: &str) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for folder in path.ancestors().skip(1) {
        let file = folder.join(name);
        let mut text = Vec::new();
        let open = std::fs::File::open(root.join(&file));
        let read = open.and_then(|open| open.take(SEARCHED_BYTES_MAX).read_to_end(&mut text));
        if read.is_err() {
            continue;
        }
        for (index, line) in String::from_utf8_lossy(&text).lines().enumerate() {
            let count = line.matches(['*', '?', '[']).count();
            if count >= MANY_WILDCARDS && best.as_ref().is_none_or(|(most, _)| count > *most) {
                let file = file.display().to_string();
                best = Some((count, format!("`{}:{}`", file.escape_debug(), index + 1)));
            }
        }
    }
    Some(best?.1)
}
