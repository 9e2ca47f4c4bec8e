//! Fault points: places in the code at which a test can kill or stop the program, or make an
//! operation fail.
//!
//! `GWC_FAULT=<point>:<nth>:<action>`: when the program passes the fault point `<point>` for the
//! `nth` time (counted from 1), the action happens, once:
//!
//! | Action | Effect |
//! |---|---|
//! | `kill` | SIGKILL to the process itself |
//! | `stop` | SIGSTOP to the process itself; SIGCONT resumes it |
//! | `panic` | a panic |
//! | `hang` | the thread writes `hangs` to standard error and waits until standard input ends |
//! | `enospc`, `erofs`, `eio`, `enotsup` | the operation after the point fails with that error |
//!
//! A point is named after the step that has just completed. Only builds with debug assertions have
//! fault points; in release builds [`point()`] does nothing, and the binary does not contain the
//! name `GWC_FAULT`.

/// All fault points, in the order in which `gwc apply` and then gwd pass them during a release.
pub const POINTS: &[&str] = &[
    // bundle::store::folder: the steps of a transaction. gwd.json is written in such a transaction,
    // too.
    "store.temporary.created",
    "store.temporary.written",
    "store.temporary.synced",
    "store.blob.renamed",
    "store.blobs.synced",
    "store.link.due",
    "store.link.linked",
    "store.file.renamed",
    "store.folder.synced",
    "store.index.written",
    "store.index.renamed",
    // bundle::sweep
    "store.sweep.removed",
    // gwc apply
    "apply.bundle.put",
    "apply.record.signed",
    "apply.record.linked",
    // gwd: activation of a bundle
    "activate.built",
    "activate.persisted",
    "activate.published",
    // gwd: an exchange, after the decision on its request, and after each piece of the response
    // body
    "exchange.decided",
    "exchange.body",
    // gwd: a worker, at the start of its periodic tasks (once a second)
    "worker.swept",
];

/// Does nothing: only builds with debug assertions have fault points.
///
/// # Errors
/// None. The result has the type of the function in builds with debug assertions.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn point(_name: &str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
pub use armed::point;

#[cfg(debug_assertions)]
mod armed {
    use std::io::{self, Write as _};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::io::Errno;
    use rustix::process::{Signal, getpid, kill_process};

    use super::POINTS;

    const VARIABLE: &str = "GWC_FAULT";

    /// A fault to inject: the fault point, the pass at which the action happens (counted from 1),
    /// and the action.
    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Fault {
        pub(super) point: String,
        pub(super) nth: u64,
        pub(super) action: Action,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum Action {
        Signal(Signal),
        Fail(Errno),
        Hang,
        Panic,
    }

    /// Marks a place in the code as the fault point `name`. Performs the action of `GWC_FAULT` at
    /// the pass that the variable names.
    ///
    /// # Errors
    /// The error that `GWC_FAULT` injects, or an error if `GWC_FAULT` is malformed.
    pub fn point(name: &str) -> io::Result<()> {
        static FAULT: OnceLock<Result<Option<Fault>, String>> = OnceLock::new();
        static PASSED: AtomicU64 = AtomicU64::new(0);
        debug_assert!(POINTS.contains(&name), "`{name}` is not in fault::POINTS");
        let fault = FAULT.get_or_init(|| match std::env::var(VARIABLE) {
            Err(_) => Ok(None),
            Ok(text) => Fault::parse(&text).map(Some),
        });
        match fault {
            Err(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, why.as_str())),
            Ok(Some(fault)) if fault.point == name => {
                let passed = PASSED.fetch_add(1, Ordering::Relaxed) + 1;
                if passed == fault.nth {
                    return fault.action.happen();
                }
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    impl Fault {
        pub(super) fn parse(text: &str) -> Result<Self, String> {
            let wrong = |why: &str| {
                format!(
                    "{VARIABLE}={text:?}: {why}; write <point>:<nth>:<action>, as in store.blob.renamed:1:kill"
                )
            };
            let parts: Vec<&str> = text.split(':').collect();
            let [point, nth, action] = parts[..] else {
                return Err(wrong("not three parts"));
            };
            if !POINTS.contains(&point) {
                return Err(wrong("no such point"));
            }
            let nth = nth.parse().ok().filter(|nth| *nth > 0);
            let action = match action {
                "kill" => Action::Signal(Signal::KILL),
                "stop" => Action::Signal(Signal::STOP),
                "hang" => Action::Hang,
                "panic" => Action::Panic,
                "enospc" => Action::Fail(Errno::NOSPC),
                "erofs" => Action::Fail(Errno::ROFS),
                "eio" => Action::Fail(Errno::IO),
                "enotsup" => Action::Fail(Errno::NOTSUP),
                _ => return Err(wrong("no such action")),
            };
            Ok(Self {
                point: point.to_owned(),
                nth: nth.ok_or_else(|| wrong("not a count from 1"))?,
                action,
            })
        }
    }

    impl Action {
        fn happen(self) -> io::Result<()> {
            match self {
                Self::Signal(signal) => Ok(kill_process(getpid(), signal)?),
                Self::Fail(errno) => Err(errno.into()),
                Self::Panic => panic!("{VARIABLE} requests this panic"),
                Self::Hang => {
                    io::stderr().write_all(b"hangs\n")?;
                    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in folder.read_dir().unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn table_lists_exactly_the_points_of_the_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut files = Vec::new();
        for folder in ["crates/bundle/src", "gwc/src", "gwd/src"] {
            sources(&root.join(folder), &mut files);
        }
        let mut passed = BTreeSet::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for behind in text.split("fault::point(").skip(1) {
                let name = behind
                    .trim_start()
                    .strip_prefix('"')
                    .and_then(|n| n.split('"').next());
                passed.insert(
                    name.expect("points are named where they are passed")
                        .to_owned(),
                );
            }
        }
        let table: BTreeSet<String> = POINTS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(table.len(), POINTS.len(), "the table has a point twice");
        assert_eq!(passed, table);
    }

    #[cfg(debug_assertions)]
    #[test]
    fn variable_is_parsed_or_its_mistake_reported() {
        use super::armed::{Action, Fault};
        use rustix::io::Errno;
        let fault = Fault::parse("store.blob.renamed:2:enospc").unwrap();
        assert_eq!((fault.point.as_str(), fault.nth), ("store.blob.renamed", 2));
        assert_eq!(fault.action, Action::Fail(Errno::NOSPC));
        for (bad, why) in [
            ("", "three parts"),
            ("store.blob.renamed:1", "three parts"),
            ("store.blob.rename:1:kill", "no such point"),
            ("store.blob.renamed:0:kill", "count from 1"),
            ("store.blob.renamed:x:kill", "count from 1"),
            ("store.blob.renamed:1:explode", "no such action"),
        ] {
            let error = Fault::parse(bad).unwrap_err();
            assert!(error.contains(why) && error.contains("as in"), "{error}");
        }
    }
}
