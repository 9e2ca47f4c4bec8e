//! Records of credentials that this process accepted without a store: before a release named the
//! store, or during an outage of a store with `on_outage: local`. They are sent to the store
//! afterwards, so that the other gateways refuse these credentials, too.

use std::sync::{Arc, Weak};
use std::time::Duration;

use policy::store::Store;
use policy::used::{FirstUse, Table};
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::published::Shared;
use crate::runtime::clock;
use crate::stores::Client;

/// Interval at which the task looks for credentials without a record: 100ms.
const PAUSE: Duration = Duration::from_millis(100);
/// Number of records that are sent at once. The server answers them within the deadline of a call.
const BATCH: usize = 128;

/// Starts to send records, on the thread of the connections to stores. Further calls do nothing.
pub(crate) fn start(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    shared.stores.start(move || {
        spawn_local(run(weak));
    });
}

/// Sends the records of a process until the process ends.
async fn run(shared: Weak<Shared>) {
    let mut after = Table::ALL.map(|_| None);
    while let Some(shared) = shared.upgrade() {
        let mut is_done = true;
        for (table, after) in Table::ALL.into_iter().zip(&mut after) {
            is_done &= send_batch(&shared, table, after).await;
        }
        drop(shared);
        if is_done {
            sleep(PAUSE).await;
        }
    }
}

/// Sends the records that follow the credential `after`, to every store that verifiers name.
/// Returns true if the task should pause: there are no more records, or a store does not answer.
async fn send_batch(shared: &Arc<Shared>, table: Table, after: &mut Option<[u8; 16]>) -> bool {
    let stores = shared.limits.used_stores.named(table);
    if stores.is_empty() {
        return true;
    }
    let now_ms = shared.clock.now_ms();
    let clients = stores
        .iter()
        .map(|store| (store, shared.stores.client(store, now_ms)));
    let clients: Vec<(&Arc<Store>, Arc<Client>)> = clients.collect();
    // Before the table is searched: requests wait for its lock meanwhile.
    if clients.iter().any(|(_, client)| !client.state().is_up) {
        return true;
    }
    let known = shared.limits.used(table);
    let batch = known.unshared(*after, BATCH);
    // Begin again at the end: credentials are added in any order, and a call may have failed.
    *after = batch.last().copied();
    if batch.is_empty() {
        return true;
    }
    let unix_s = clock::unix_ms() / 1_000;
    let ends_s = unix_s.saturating_add(known.longest_s());
    let mut is_done = false;
    let sent = batch.iter().map(|hash| {
        let calls = clients.iter().map(|(store, client)| {
            let used = FirstUse::new(store, (table, *hash), (unix_s, ends_s));
            client.send_first_use(&used)
        });
        (hash, calls.collect::<Vec<_>>())
    });
    for (hash, calls) in sent.collect::<Vec<_>>() {
        let mut is_recorded = true;
        for call in calls {
            let answered = match call {
                Ok(answered) => answered.await.is_ok(),
                Err(_) => false,
            };
            is_recorded &= answered;
        }
        match is_recorded {
            true => known.set_shared(*hash),
            false => is_done = true,
        }
    }
    is_done
}
