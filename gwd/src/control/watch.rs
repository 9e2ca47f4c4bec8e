//! File events of the store, the trust file and the secrets: whatever happens there, the control
//! thread has a look.
//!
//! Folders are watched, not files: Kubernetes exchanges a symbolic link beside them. Events are
//! a hint only; the store is also looked at every few seconds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, SyncSender, sync_channel};

use bundle::name::ChannelName;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Event;

/// Watches what matters to one channel.
pub(crate) struct Watcher {
    inner: RecommendedWatcher,
    wanted: Vec<PathBuf>,
    watched: BTreeSet<PathBuf>,
}

impl Watcher {
    /// Starts watching; none where the system cannot.
    pub(crate) fn start(
        store: &Path,
        channel: &ChannelName,
        others: &[&Path],
        events: Sender<Event>,
    ) -> Option<Self> {
        // One look answers any number of events: a hint that is already under way is enough.
        let (hint, hints): (SyncSender<()>, _) = sync_channel(1);
        std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                while hints.recv().is_ok() {
                    if events.send(Event::Look).is_err() {
                        return;
                    }
                }
            })
            .ok()?;
        let inner = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                let _under_way = hint.try_send(());
            }
        })
        .ok()?;
        let mut wanted = vec![
            store.to_owned(),
            store.join("channels"),
            store.join("channels").join(channel.as_str()),
            store.join("revocations"),
        ];
        wanted.extend(others.iter().map(|path| (*path).to_owned()));
        let mut watcher = Self {
            inner,
            wanted,
            watched: BTreeSet::new(),
        };
        watcher.refresh();
        Some(watcher)
    }

    /// Folders come into being after the start.
    pub(crate) fn refresh(&mut self) {
        for path in &self.wanted {
            let there = path.is_dir();
            if there && !self.watched.contains(path) {
                if self.inner.watch(path, RecursiveMode::NonRecursive).is_ok() {
                    self.watched.insert(path.clone());
                }
            } else if !there && self.watched.remove(path) {
                let _gone = self.inner.unwatch(path);
            }
        }
    }
}
