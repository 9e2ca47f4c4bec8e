//! File events of the store, the trust file and the secrets, which make the control thread read
//! them again.
//!
//! The watcher watches folders, not files, because Kubernetes updates files by replacing a symbolic
//! link beside them. A folder that was replaced is watched again. Irrelevant events (temporary
//! files, the store's index, a log in the trust file's folder) are ignored, because needless reads
//! would delay necessary ones. Events are only hints; everything is also read every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

use bundle::name::ChannelName;
use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Event;
use super::read_schedule::Pending;

/// Maximum number of watched folders of secrets. Secrets in other folders are only polled.
const SECRET_FOLDERS_MAX: usize = 1_000;

/// File watcher for one channel.
pub(crate) struct Watcher {
    inner: RecommendedWatcher,
    wanted: Vec<PathBuf>,
    /// Device and inode numbers of each watched folder, to detect that a path names another folder
    /// now.
    watched: BTreeMap<PathBuf, (u64, u64)>,
}

/// Sender of [`Event::Look`]. At most one such event is pending, however many files change.
pub(super) struct Hint {
    pub(super) pending: Pending,
    pub(super) events: Sender<Event>,
}

/// Paths whose changes make the control thread read the store, the trust file and the secrets
/// again.
#[derive(Clone, Debug)]
struct WatchedPaths {
    /// Folders of the store. Links are created in the last two (`channels/NAME`, `revocations`);
    /// the first two are watched because their subfolders may be created later.
    store: [PathBuf; 4],
    trust: Option<PathBuf>,
    secrets: PathBuf,
}

impl Watcher {
    /// Starts watching. `None` if the system does not support it.
    pub(crate) fn start(
        store: &Path,
        channel: &ChannelName,
        trust: Option<&Path>,
        secrets: &Path,
        hint: Hint,
    ) -> Option<Self> {
        // Make all paths absolute, because events contain absolute paths.
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let watched = WatchedPaths {
            store: folders(&absolute(store), channel),
            trust: trust.map(absolute),
            secrets: absolute(secrets),
        };
        let mut wanted: Vec<PathBuf> = watched.store.to_vec();
        let trust_folder = watched.trust.as_deref().and_then(Path::parent);
        wanted.extend(trust_folder.map(Path::to_owned));
        wanted.push(watched.secrets.clone());
        let inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| watched.event(&event)) && hint.pending.set() {
                let _stopped = hint.events.send(Event::Look);
            }
        })
        .ok()?;
        let mut watcher = Self {
            inner,
            wanted,
            watched: BTreeMap::new(),
        };
        watcher.refresh(&BTreeSet::new());
        Some(watcher)
    }

    /// Updates the set of watched folders, because folders can be created, removed and replaced.
    /// `secrets` are the folders of the secrets in use.
    pub(crate) fn refresh(&mut self, secrets: &BTreeSet<PathBuf>) {
        let mut wanted: BTreeSet<&PathBuf> = self.wanted.iter().collect();
        wanted.extend(secrets.iter().take(SECRET_FOLDERS_MAX));
        let inner = &mut self.inner;
        self.watched.retain(|path, watched| {
            let stays = wanted.contains(path) && identity(path) == Some(*watched);
            if !stays {
                let _gone = inner.unwatch(path);
            }
            stays
        });
        for path in wanted {
            if let Some(identity) = identity(path)
                && !self.watched.contains_key(path)
                && inner.watch(path, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(path.clone(), identity);
            }
        }
    }
}

/// Reads the device and inode of a folder. `None` if the path is not a folder.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let data = std::fs::metadata(path).ok().filter(Metadata::is_dir)?;
    Some((data.dev(), data.ino()))
}

fn folders(store: &Path, channel: &ChannelName) -> [PathBuf; 4] {
    let channels = store.join("channels");
    let channel = channels.join(channel.as_str());
    let revocations = store.join("revocations");
    [store.to_owned(), channels, channel, revocations]
}

impl WatchedPaths {
    fn event(&self, event: &notify::Event) -> bool {
        // An event without a path means that the system has lost events.
        let somewhere = event.paths.is_empty() || event.need_rescan();
        !event.kind.is_access()
            && (somewhere || event.paths.iter().any(|p| self.path(p, event.kind)))
    }

    fn path(&self, path: &Path, kind: EventKind) -> bool {
        let [store, channels, channel, revocations] = &self.store;
        let parent = path.parent();
        if self.trust.as_deref() == Some(path) || parent == Some(&self.secrets) {
            return true;
        }
        if parent == Some(channel) || parent == Some(revocations) {
            // The file name of a link is the serial of its record or revocation list.
            let name = path.file_name().and_then(std::ffi::OsStr::to_str);
            return name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        }
        if parent == Some(store) || parent == Some(channels) {
            return path == *channels || path == *channel || path == *revocations;
        }
        // In the folder of the trust file, ignore writes to other files, which may be logs. A
        // created or replaced file counts, because it may be part of a chain of symbolic links.
        let written = matches!(
            kind,
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_))
        );
        let trust = self.trust.as_deref().and_then(Path::parent);
        path == *store || !written || parent != trust
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, ModifyKind, RenameMode};

    use super::*;

    #[test]
    fn events_of_irrelevant_files_are_ignored() {
        let watched = WatchedPaths {
            store: folders(Path::new("/s"), &"prod".parse().unwrap()),
            trust: Some("/t/trust.json".into()),
            secrets: "/run/secrets".into(),
        };
        let created = EventKind::Create(CreateKind::File);
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let renamed = EventKind::Modify(ModifyKind::Name(RenameMode::To));
        for (path, kind, looks) in [
            ("/s/channels/prod/00000000000000000007", created, true),
            ("/s/channels/prod/.tmp-1", created, false),
            ("/s/channels/prod", created, true),
            ("/s/channels/test", created, false),
            ("/s/channels", created, true),
            ("/s/revocations/00000000000000000001", created, true),
            ("/s/index.json", renamed, false),
            ("/s/.tmp-2", created, false),
            ("/t/trust.json", written, true),
            ("/t/trust.json", renamed, true),
            ("/t/..data", renamed, true),
            ("/t/gwd.log", written, false),
            ("/run/secrets/token", written, true),
            ("/run/secrets/mounted/..1/token", written, true),
            ("/run/secrets/..data", renamed, true),
        ] {
            let event = notify::Event::new(kind).add_path(path.into());
            assert_eq!(watched.event(&event), looks, "{path} {kind:?}");
        }
        assert!(
            watched.event(&notify::Event::new(EventKind::Any)),
            "events were lost"
        );
        let opened = notify::event::AccessKind::Any;
        let read = notify::Event::new(EventKind::Access(opened));
        assert!(!watched.event(&read.add_path("/s/channels/prod/00000000000000000007".into())));
    }
}
