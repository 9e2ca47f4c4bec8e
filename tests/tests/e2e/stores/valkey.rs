//! Tests of counters in Valkey, which `tests/peers/install` installs from PyPI.

use e2e::peers;

use super::*;

/// Program `valkey-server`. `None` if it or redis-cli is missing; the test is then skipped.
fn valkey() -> Option<PathBuf> {
    let program = peers::valkey_server().filter(|_| prerequisite::program("redis-cli"));
    if program.is_none() {
        prerequisite::skip(peers::MISSING);
    }
    program
}

fn start(program: &Path) -> Server {
    Server::start_program(program, &Security::default(), &[])
}

#[test]
fn valkey_shares_quotas_exactly() {
    let Some(program) = valkey() else { return };
    let server = start(&program);
    assert!(server.ask(&["INFO", "server"]).contains("valkey_version"));
    share_quotas(&server);
}

#[test]
fn killed_valkey_acts_as_written_and_returns() {
    let Some(program) = valkey() else { return };
    lose_store(&program);
}

#[test]
fn stopped_gateway_returns_its_lease_to_valkey() {
    let Some(program) = valkey() else { return };
    synced::return_lease(&start(&program));
}

#[test]
fn listed_permissions_suffice_in_valkey() {
    let Some(program) = valkey() else { return };
    permissions::count_as_user(&program);
}
