//! Memory use and memory limit of the process, as reported by the system.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::limits::budget::Memory;

/// Interval at which memory use is measured: 100ms.
const TICK: Duration = Duration::from_millis(100);
/// Memory limits of at least this many bytes (1 PiB) count as unlimited.
const NO_LIMIT: u64 = 1 << 50;

/// Source of the measured memory use.
enum Gauge {
    /// Folder of the control group: its memory use without inactive file pages.
    Group(PathBuf),
    /// Process: its resident memory (pages in RAM).
    Resident,
}

/// Memory limit of the process's control group in bytes, or `None` without a limit.
pub(crate) fn limit() -> Option<u64> {
    let (_, limit) = group()?;
    Some(limit)
}

/// Starts a thread that measures memory use, if memory is limited. The thread ends when `memory` is
/// dropped.
///
/// # Errors
/// If no thread can be started.
pub(crate) fn start(memory: &Arc<Memory>) -> io::Result<()> {
    if memory.max().is_none() {
        return Ok(());
    }
    let memory = Arc::downgrade(memory);
    let gauge = group().map_or(Gauge::Resident, |(folder, _)| Gauge::Group(folder));
    let look = move || match memory.upgrade() {
        Some(memory) => {
            memory.measured(gauge.bytes());
            true
        }
        None => false,
    };
    look();
    std::thread::Builder::new()
        .name("memory".into())
        .spawn(move || {
            while look() {
                std::thread::sleep(TICK);
            }
        })?;
    Ok(())
}

impl Gauge {
    fn bytes(&self) -> u64 {
        match self {
            Self::Group(folder) => {
                let all = number(&folder.join("memory.current")).unwrap_or(0);
                let stat = std::fs::read_to_string(folder.join("memory.stat"));
                let files = stat.ok().and_then(|stat| field(&stat, "inactive_file"));
                all.saturating_sub(files.unwrap_or(0))
            }
            Self::Resident => {
                let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
                let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
                pages.unwrap_or(0) * rustix::param::page_size() as u64
            }
        }
    }
}

/// Finds the nearest control group (version 2) with a memory limit, and its limit in bytes.
/// Searches the group of this process and the group's ancestors. `None`: no group has a limit.
fn group() -> Option<(PathBuf, u64)> {
    let lines = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let own = root.join(path);
    own.ancestors()
        .take_while(|folder| folder.starts_with(root))
        .find_map(|folder| {
            let limit = number(&folder.join("memory.max"))?;
            (limit < NO_LIMIT).then(|| (folder.to_owned(), limit))
        })
}

/// Reads a number from a file. `None` if the file contains no number (`max`).
fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_measured_without_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("memory.current", "5000\n");
        write(
            "memory.stat",
            "anon 1\ninactive_file_x 9\ninactive_file 2000\n",
        );
        assert_eq!(Gauge::Group(folder.path().into()).bytes(), 3_000);
        assert!(Gauge::Resident.bytes() > 1 << 20, "this process");
        write("memory.max", "max\n");
        assert_eq!(number(&folder.path().join("memory.max")), None);
    }
}
