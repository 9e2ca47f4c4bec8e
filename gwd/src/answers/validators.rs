//! Compiled validators of operations.
//!
//! A validator is compiled on the threads for computations when a request first needs it.
//! Validators are shared by the digest of their description. An unchanged description is therefore
//! not compiled again after a switch of versions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bundle::ir;
use engine::ApiPart;
use tokio::sync::watch;
use validator::{Cone, Credentials, Described, Operation};

use crate::runtime::compute::Compute;

/// Maximum estimated memory of validators that no version uses: 32 MiB.
const UNUSED_BYTES_MAX: u64 = 32 << 20;

/// Compiled validators of operations. All configuration versions in the process's memory share
/// them.
#[derive(Default)]
pub(crate) struct Validators {
    /// Validators of APIs, by the digest of the API's blob.
    apis: Mutex<HashMap<[u8; 32], Weak<ApiValidators>>>,
    compiled: Arc<Compiled>,
}

/// Validators of one API, which versions with the same blob share.
pub(crate) struct ApiValidators {
    part: Arc<ApiPart>,
    /// Validators of the API's operations, by index of the operation. Empty: not compiled yet.
    cells: Box<[OnceLock<Ready>]>,
    /// Compilations in progress, by index of the operation.
    pending: Mutex<HashMap<usize, watch::Receiver<bool>>>,
    compiled: Arc<Compiled>,
}

/// Result of compiling the validator of an operation.
pub(crate) enum Ready {
    /// Validator that is ready for use.
    Compiled(Described),
    /// The operation describes nothing that could be validated.
    Undescribed,
    /// The description does not compile. gwc refuses such bundles.
    Unusable,
}

/// Compiled validators, by the digest of the description that they check.
#[derive(Default)]
struct Compiled {
    entries: Mutex<HashMap<[u8; 32], Entry>>,
    /// Number of compilations since the start of the process.
    compilations: AtomicU64,
}

struct Entry {
    operation: Arc<Operation>,
    /// Sequence number of the last use of the validator.
    used: u64,
}

/// Guard of a compilation in progress: the API's validators, and the index of the operation.
/// Dropping the guard, even in a panic, removes the operation from `pending`.
struct Pending<'a>(&'a ApiValidators, usize);

// === impl Validators ===

impl Validators {
    /// Validators of an API. `None` if the API validates no messages.
    pub(crate) fn of(&self, part: &Arc<ApiPart>) -> Option<Arc<ApiValidators>> {
        part.messages()?;
        let mut apis = locked(&self.apis);
        apis.retain(|_, api| api.strong_count() > 0);
        if let Some(known) = apis.get(part.digest()).and_then(Weak::upgrade) {
            return Some(known);
        }
        let operations = part.operations().iter();
        let made = Arc::new(ApiValidators {
            part: Arc::clone(part),
            cells: operations.map(|_| OnceLock::new()).collect(),
            pending: Mutex::default(),
            compiled: Arc::clone(&self.compiled),
        });
        apis.insert(*part.digest(), Arc::downgrade(&made));
        Some(made)
    }

    /// Number of validators that were compiled since the start of the process.
    pub(crate) fn compilations(&self) -> u64 {
        self.compiled.compilations.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for ApiValidators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiValidators").finish_non_exhaustive()
    }
}

// === impl ApiValidators ===

impl ApiValidators {
    /// Validator of an operation, if it is compiled.
    pub(crate) fn ready(&self, index: usize) -> Option<&Ready> {
        self.cells.get(index)?.get()
    }

    /// Compiles the validator of an operation and waits for it, or waits for a compilation in
    /// progress. The compilation continues if the caller stops waiting. Returns false if no thread
    /// is free or the compilation panics.
    pub(crate) async fn prepare(self: &Arc<Self>, index: usize, compute: &Compute) -> bool {
        let mut done = {
            let mut pending = locked(&self.pending);
            match pending.get(&index) {
                Some(done) => done.clone(),
                None => {
                    let (say, done) = watch::channel(false);
                    let api = Arc::clone(self);
                    let started = compute.start(move || {
                        let _pending = Pending(&api, index);
                        if let Some(cell) = api.cells.get(index) {
                            cell.get_or_init(|| api.compile(index));
                        }
                        say.send_replace(true);
                    });
                    if !started {
                        return false;
                    }
                    pending.insert(index, done.clone());
                    done
                }
            }
        };
        done.wait_for(|done| *done).await.is_ok()
    }

    /// Name of the API to which the validators belong.
    pub(crate) fn name(&self) -> &str {
        self.part.name()
    }

    /// Compiles the validators that another version of the API has compiled, until `may_continue`
    /// is false. Runs on the calling thread, which must not be a worker's. Returns the number of
    /// validators that are still to be compiled.
    pub(crate) fn warm(&self, before: &Self, may_continue: impl Fn() -> bool) -> usize {
        let before_operations = before.part.operations().iter().zip(&before.cells);
        let used =
            before_operations.filter(|(_, cell)| matches!(cell.get(), Some(Ready::Compiled(_))));
        let mut left = 0;
        for (operation, _) in used {
            let mut own = self.part.operations().iter();
            let Some(index) = own.position(|one| one.key == operation.key) else {
                continue;
            };
            let Some(cell) = self.cells.get(index).filter(|cell| cell.get().is_none()) else {
                continue;
            };
            match may_continue() {
                true => {
                    cell.get_or_init(|| self.compile(index));
                }
                false => left += 1,
            }
        }
        left
    }

    /// Names of the fields and parameters that carry an operation's credentials.
    fn credentials(&self, index: usize) -> Credentials {
        let security = self.part.security(index);
        let none = ir::Security::default();
        Credentials::of(self.part.schemes(), security.unwrap_or(&none))
    }

    fn compile(&self, index: usize) -> Ready {
        let messages = self.part.messages();
        let named = self.part.operations().get(index);
        let found = messages.zip(named).and_then(|(messages, named)| {
            let operation = messages.operations.get(&named.key)?;
            Some((operation, &messages.schemas))
        });
        let Some((operation, schemas)) = found else {
            return Ready::Undescribed;
        };
        let cone = Cone::of(operation, schemas);
        match self.compiled.operation(&cone) {
            Some(operation) => Ready::Compiled(Described {
                operation,
                credentials: self.credentials(index),
            }),
            None => Ready::Unusable,
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        locked(&self.0.pending).remove(&self.1);
    }
}

// === impl Compiled ===

impl Compiled {
    /// Returns the validator for a description: the compiled one with the same digest, otherwise a
    /// new one. `None` if the description does not compile.
    fn operation(&self, cone: &Cone) -> Option<Arc<Operation>> {
        let known = |all: &mut HashMap<[u8; 32], Entry>| {
            let used = all.values().map(|entry| entry.used).max().unwrap_or(0) + 1;
            let entry = all.get_mut(&cone.digest)?;
            entry.used = used;
            Some(Arc::clone(&entry.operation))
        };
        if let Some(known) = known(&mut locked(&self.entries)) {
            return Some(known);
        }
        // Compile without the lock, because a compilation may take milliseconds.
        self.compilations.fetch_add(1, Ordering::Relaxed);
        let made = Arc::new(Operation::compile(cone).ok()?);
        let mut all = locked(&self.entries);
        let used = all.values().map(|entry| entry.used).max().unwrap_or(0) + 1;
        let entry = all.entry(cone.digest).or_insert_with(|| Entry {
            operation: Arc::clone(&made),
            used,
        });
        let made = Arc::clone(&entry.operation);
        forget_unused(&mut all);
        Some(made)
    }
}

/// Removes validators that no version uses, the least recently used first, while their estimated
/// memory is above [`UNUSED_BYTES_MAX`].
fn forget_unused(all: &mut HashMap<[u8; 32], Entry>) {
    let unused = all
        .iter()
        .filter(|(_, entry)| Arc::strong_count(&entry.operation) == 1);
    let unused = unused.map(|(digest, entry)| (entry.used, *digest, entry.operation.bytes()));
    let mut unused: Vec<(u64, [u8; 32], u64)> = unused.collect();
    let mut bytes: u64 = unused.iter().map(|(_, _, bytes)| bytes).sum();
    unused.sort_unstable();
    for (_, digest, own) in unused {
        if bytes <= UNUSED_BYTES_MAX {
            return;
        }
        all.remove(&digest);
        bytes -= own;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
