//! Events of `gwc watch` and `gwc test --watch`: saved files of the project, signals, and events
//! from other threads of the command.
//!
//! Folders are watched, not files, because most editors replace a file instead of writing into it.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::signal::unix::{SignalKind, signal};

use model::exit::Exit;

use super::{registries, say};

/// Time without a further save after which the collected saves are reported as one event: 100ms.
const QUIET: Duration = Duration::from_millis(100);
/// Maximum time for which saves are collected: 1s.
const COLLECTING: Duration = Duration::from_secs(1);
/// Maximum number of watched folders. The system limits the number of folders that a user may
/// watch.
const FOLDERS_MAX: usize = 2_000;
/// Folders of installed and compiled files, which have no sources of a gateway.
const PASSED_OVER: [&str; 2] = ["node_modules", "target"];
/// Extensions of the files that gwc reads.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Event that the main loop of a command handles.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Files of the project were written, replaced or removed.
    Saved(BTreeSet<PathBuf>),
    /// Signal that ends the command, as the command's exit code.
    Signal(u8),
    /// The gateway's process has ended.
    GatewayEnded,
}

/// Message to the main loop: a changed path, or another event.
#[derive(Debug)]
pub(super) enum Message {
    Path(PathBuf),
    Other(Event),
}

/// Watched project.
pub(super) struct Saves {
    root: PathBuf,
    watcher: RecommendedWatcher,
    watched: BTreeSet<PathBuf>,
    sender: Sender<Message>,
    messages: Receiver<Message>,
    /// Files that were saved while the command waited for another event.
    saved: BTreeSet<PathBuf>,
}

impl Saves {
    /// Begins to watch a project.
    ///
    /// # Errors
    /// Returns an error if the system cannot watch files or signals.
    pub(super) fn of(root: &Path) -> anyhow::Result<Self> {
        let root = root.canonicalize().context("the project's folder")?;
        let (sender, messages) = channel();
        let to_loop = sender.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            for path in event.map(saved_paths).unwrap_or_default() {
                // Ignore the error: the receiver is dropped only when the command ends.
                let _ended = to_loop.send(Message::Path(path));
            }
        });
        let watcher = watcher.context("the system cannot watch files")?;
        await_signals(sender.clone())?;
        let mut saves = Self {
            root,
            watcher,
            watched: BTreeSet::new(),
            sender,
            messages,
            saved: BTreeSet::new(),
        };
        saves.refresh()?;
        Ok(saves)
    }

    /// Returns a sender for events of other threads.
    pub(super) fn sender(&self) -> Sender<Message> {
        self.sender.clone()
    }

    /// Waits until files are saved and no further change follows, or until another event arrives.
    ///
    /// # Errors
    /// Returns an error if the project's folder is gone.
    pub(super) fn next(&mut self) -> anyhow::Result<Event> {
        let mut saved = std::mem::take(&mut self.saved);
        let mut began = (!saved.is_empty()).then(Instant::now);
        loop {
            let message = match began {
                None => self.messages.recv().map_err(RecvTimeoutError::from),
                Some(began) if began.elapsed() >= COLLECTING => Err(RecvTimeoutError::Timeout),
                Some(_) => self.messages.recv_timeout(QUIET),
            };
            match message {
                Ok(Message::Path(path)) if self.is_source(&path) => {
                    began.get_or_insert_with(Instant::now);
                    saved.insert(path);
                }
                Ok(Message::Path(_)) => {}
                Ok(Message::Other(event)) => {
                    self.saved = saved;
                    return Ok(event);
                }
                Err(_) => {
                    self.refresh()?;
                    return Ok(Event::Saved(saved));
                }
            }
        }
    }

    /// Waits for one message, at most for `time`. Returns the event; `None` if no message arrives,
    /// or if the message is a save. Saves are kept for [`Self::next`].
    pub(super) fn other_within(&mut self, time: Duration) -> Option<Event> {
        match self.messages.recv_timeout(time) {
            Ok(Message::Other(event)) => Some(event),
            Ok(Message::Path(path)) => {
                if self.is_source(&path) {
                    self.saved.insert(path);
                }
                None
            }
            Err(_) => None,
        }
    }

    /// Prints a line that separates the output of this run from that of the previous run.
    pub(super) fn announce(&self, saved: &BTreeSet<PathBuf>) {
        let shown = |path: &PathBuf| {
            let inside = path.strip_prefix(&self.root).unwrap_or(path);
            diag::text::printable(&inside.to_string_lossy())
        };
        let first = saved.first().map(shown).unwrap_or_default();
        let more = match saved.len() {
            0 | 1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        say::result(&format!("\n--- saved: {first}{more}"));
    }

    /// True if a changed path may matter: a `.gitignore`, a file with the extension of a source, or
    /// a folder that is not watched yet.
    fn is_source(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default();
        if name == ".gitignore" {
            return true;
        }
        if is_passed_over(name) {
            return false;
        }
        let extension = path.extension().and_then(OsStr::to_str);
        extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
            || path.is_dir() && !self.watched.contains(path)
    }

    /// Updates the list of watched folders, because folders may be new or removed.
    fn refresh(&mut self) -> anyhow::Result<()> {
        let folders = folders(&self.root);
        for gone in self.watched.difference(&folders) {
            let _unwatched = self.watcher.unwatch(gone);
        }
        // A folder that was replaced has another inode, so watch all of them again.
        for folder in &folders {
            let watched = self.watcher.watch(folder, RecursiveMode::NonRecursive);
            if *folder == self.root {
                watched.with_context(|| format!("cannot watch {}", say::path(folder)))?;
            }
        }
        self.watched = folders;
        Ok(())
    }
}

/// Returns a process command that runs this program with the global options of this run. The caller
/// adds the subcommand. A separate process has its own memory, and a bug in it does not end this
/// process.
///
/// # Errors
/// Returns an error if the path of this program is unknown.
pub(super) fn again(context: &say::Context) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("the path of gwc")?);
    command.envs(registries::variables());
    if let Some(project) = &context.project {
        command.arg("--project").arg(project);
    }
    if let Some(environment) = &context.environment {
        command.args(["--env", environment]);
    }
    Ok(command)
}

/// Runs the current command line again after each save, without `--watch`.
///
/// # Errors
/// Returns an error if the project cannot be watched.
pub(super) fn repeat(root: &Path) -> anyhow::Result<Exit> {
    let arguments: Vec<OsString> = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--watch")
        .collect();
    let mut saves = Saves::of(root)?;
    loop {
        let mut command = Command::new(std::env::current_exe().context("the path of gwc")?);
        command.args(&arguments).status()?;
        match saves.next()? {
            Event::Saved(saved) => saves.announce(&saved),
            Event::Signal(code) => return Ok(Exit(code)),
            Event::GatewayEnded => {}
        }
    }
}

/// Starts a thread that waits for SIGINT, SIGTERM or SIGHUP, and sends an event with the exit code
/// for the signal.
fn await_signals(sender: Sender<Message>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(entered);
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let code = tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                    _ = hangup.recv() => 129,
                };
                let _ended = sender.send(Message::Other(Event::Signal(code)));
            });
        })?;
    Ok(())
}

/// Paths of an event that changes the content or the names of files. Empty for other events.
fn saved_paths(event: notify::Event) -> Vec<PathBuf> {
    let is_save = match event.kind {
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any => true,
        EventKind::Modify(kind) => !matches!(kind, ModifyKind::Metadata(_)),
        EventKind::Access(_) | EventKind::Other => false,
    };
    if is_save { event.paths } else { Vec::new() }
}

/// Folders of a project, from the root down, without hidden folders and links.
fn folders(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::from([root.to_owned()]);
    let mut open = VecDeque::from([root.to_owned()]);
    while let Some(folder) = open.pop_front() {
        let entries = folder.read_dir().into_iter().flatten().flatten();
        for entry in entries {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_folder || is_passed_over(&entry.file_name()) {
                continue;
            }
            if found.len() >= FOLDERS_MAX {
                return found;
            }
            found.insert(entry.path());
            open.push_back(entry.path());
        }
    }
    found
}

/// True for hidden files and folders, and for [`PASSED_OVER`] folders.
fn is_passed_over(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.starts_with(b".") || PASSED_OVER.iter().any(|own| name == *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_sources_are_not_watched() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["apis/new", ".git/refs", "node_modules/a", "tests"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let found = folders(root.path());
        let found: Vec<_> = found
            .iter()
            .filter_map(|path| path.strip_prefix(root.path()).ok()?.to_str())
            .collect();
        assert_eq!(found, ["", "apis", "apis/new", "tests"]);
    }

    #[test]
    fn saves_of_one_moment_are_one_event() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(root.path().join(name), "a: 1\n").unwrap();
        write("gateway.yaml");
        let mut saves = Saves::of(root.path()).unwrap();
        let names = |event: Event| {
            let Event::Saved(saved) = event else {
                panic!("{event:?}");
            };
            let names = saved.iter().filter_map(|path| path.file_name()?.to_str());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        write(".gateway.yaml.swp");
        write("notes.txt");
        write("gateway.yaml");
        write("orders.json");
        assert_eq!(
            names(saves.next().unwrap()),
            ["gateway.yaml", "orders.json"]
        );
        // A new folder is watched before the next save.
        std::fs::create_dir(root.path().join("apis")).unwrap();
        assert_eq!(names(saves.next().unwrap()), ["apis"]);
        std::fs::rename(
            root.path().join("orders.json"),
            root.path().join("apis/o.json"),
        )
        .unwrap();
        assert_eq!(names(saves.next().unwrap()), ["o.json", "orders.json"]);
    }
}
