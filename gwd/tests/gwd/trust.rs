//! Changes of the trust file while a gateway runs: key rotation, retirement, and theft (release.md
//! §4, §5).

use bundle::digest::Digest;
use bundle::publish::{self, Revocation};
use bundle::statement::predicate::{RecordKind, Role};
use bundle::trust::KeyState::{self, Active, Retired, Revoked};
use serde_json::json;

use crate::fixture::*;
use crate::world::{Process, World, draft, key, numbered, trust_of};

fn keys(world: &mut World, changed: &[(&str, Role, KeyState)]) {
    let mut all = vec![
        ("ci", Role::Build, Active),
        ("rita", Role::Release, Active),
        ("rob", Role::Revoke, Active),
    ];
    all.retain(|key| changed.iter().all(|changed| changed.0 != key.0));
    all.extend(changed);
    world.trust(|_| trust_of(&all));
}

fn notify(gwd: &Process) -> serde_json::Value {
    gwd.ask("POST", "/v1/notify", "").json()
}

#[test]
fn added_key_signs_at_once_and_a_retired_one_not() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let (two, evidence) = world.put(&numbered(&upstream, 2), &[], "ci");
    world.point(two, evidence, RecordKind::Release, "ruth");
    assert_eq!(notify(&gwd)["last_error"]["reason"], "unknown-key");
    keys(&mut world, &[("ruth", Role::Release, Active)]);
    gwd.wait_for(&two);
    keys(
        &mut world,
        &[
            ("ruth", Role::Release, Active),
            ("rita", Role::Release, Retired),
        ],
    );
    eventually("the trust file is read again", || {
        gwd.events()
            .iter()
            .filter(|event| event["what"] == "trust")
            .count()
            == 2
    });
    let status = notify(&gwd);
    assert_eq!(status["alarms"], json!([]), "earlier signatures stay valid");
    assert_eq!(status["bundle"], two.to_string());
    let (three, evidence) = world.put(&numbered(&upstream, 3), &[], "ci");
    let head = world.point(three, evidence, RecordKind::Release, "rita");
    assert_eq!(notify(&gwd)["last_error"]["reason"], "key-expired");
    assert!(gwd.runs(&two));
    // A rollback to a bundle that the retired key signed is allowed.
    assert_eq!(
        gwd.ask("POST", "/v1/rollback", "").json()["bundle"],
        one.to_string()
    );
    gwd.kill();
    assert!(world.start().runs(&one));
    assert_eq!(head.serial, 3);
}

#[test]
fn revoked_build_key_alarms_and_stops_new_starts() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    let (gwd, one, two) = world.two_versions(&upstream);
    keys(
        &mut world,
        &[("ci", Role::Build, Revoked), ("cd", Role::Build, Active)],
    );
    eventually("the alarm is raised", || {
        gwd.status()["alarms"] == json!(["running-untrusted"])
    });
    assert_eq!(get(gwd.public(), "/v2").status, 200);
    assert_eq!(
        gwd.status()["resident"],
        json!([two.to_string()]),
        "one is dropped"
    );
    let body = format!("{{\"bundle\": \"{one}\"}}");
    let refused = gwd.ask("POST", "/v1/activate", &body);
    assert_eq!(
        refused.json()["error"]["code"],
        "revoked-key",
        "{}",
        refused.text()
    );
    let three = world.release_as(&numbered(&upstream, 3), &[], "rita", "cd");
    gwd.wait_for(&three);
    assert_eq!(gwd.status()["alarms"], json!([]));
    gwd.kill();
    std::fs::rename(world.path("store"), world.path("elsewhere")).unwrap();
    assert!(world.start().runs(&three));
}

/// Publishes a record with the highest serial that readers follow and an old bundle, signed with a stolen release key.
fn theft(world: &World, upstream: &Upstream) -> Digest {
    let (bundle, evidence) = world.put(&numbered(upstream, 3), &[], "ci");
    let draft = draft(bundle, evidence, RecordKind::Release, "mallory");
    let mut statement = publish::prepare(&world.store, None, draft, None).unwrap();
    statement.predicate.serial = 1 + (1 << 20);
    let envelope = publish::sign(&statement, &[&key("mallory")]).unwrap();
    publish::publish(&world.store, &envelope).unwrap();
    bundle
}

#[test]
fn a_stolen_keys_jump_is_undone_by_the_trust_file() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    keys(&mut world, &[("mallory", Role::Release, Active)]);
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let stolen = theft(&world, &upstream);
    gwd.wait_for(&stolen);
    keys(&mut world, &[("mallory", Role::Release, Revoked)]);
    gwd.wait_for(&one);
    assert_eq!(gwd.status()["serial"], 1, "memory went back");
    assert_eq!(gwd.status()["resident"], json!([one.to_string()]));
    let two = world.release_with(&numbered(&upstream, 2), |_| ());
    gwd.wait_for(&two);
    assert_eq!(gwd.status()["serial"], 2);
    gwd.kill();
    assert!(world.start().runs(&two));
}

#[test]
fn jump_of_a_stolen_key_is_undone_by_the_list() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    keys(&mut world, &[("mallory", Role::Release, Active)]);
    let one = world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    let stolen = theft(&world, &upstream);
    gwd.wait_for(&stolen);
    world.revoke(Revocation {
        keys: [key("mallory").public().id()].into(),
        ..Revocation::default()
    });
    gwd.wait_for(&one);
    assert_eq!(gwd.status()["serial"], 1);
    gwd.kill();
    let gwd = world.start();
    assert!(gwd.runs(&one), "also after a restart");
    let refused = gwd.ask(
        "POST",
        "/v1/activate",
        &format!("{{\"bundle\": \"{stolen}\"}}"),
    );
    assert_eq!(refused.json()["error"]["code"], "revoked-key");
}

/// A change of the trust file admits a credential again only if it revokes the key of the list.
#[test]
fn accepted_list_outlives_the_role_of_its_key() {
    let upstream = Upstream::saying("ok");
    let mut world = World::new();
    world.release(&numbered(&upstream, 1));
    let gwd = world.start();
    world.revoke(Revocation {
        credentials: [Digest::of(b"stolen")].into(),
        ..Revocation::default()
    });
    let lists = |serial: u64| {
        eventually("the trust file is read", || {
            notify(&gwd);
            gwd.status()["revocations"] == serial
        });
    };
    lists(1);
    keys(
        &mut world,
        &[
            ("rob", Role::Release, Active),
            ("ruth", Role::Release, Active),
        ],
    );
    let two = world.release_as(&numbered(&upstream, 2), &[], "ruth", "ci");
    gwd.wait_for(&two);
    lists(1);
    keys(
        &mut world,
        &[
            ("rob", Role::Revoke, Revoked),
            ("ruth", Role::Release, Active),
        ],
    );
    lists(0);
}

#[test]
fn trust_file_behind_a_swapped_link_is_reread() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let mount = world.path("mount");
    std::fs::create_dir(&mount).unwrap();
    let text = std::fs::read_to_string(world.path("trust.json")).unwrap();
    let swap = |version: u32| {
        let folder = mount.join(format!("..{version}"));
        std::fs::create_dir(&folder).unwrap();
        let blanks = "\n".repeat(version as usize);
        std::fs::write(folder.join("trust.json"), format!("{text}{blanks}")).unwrap();
        std::os::unix::fs::symlink(format!("..{version}"), mount.join("..new")).unwrap();
        std::fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
    };
    swap(1);
    std::os::unix::fs::symlink("..data/trust.json", mount.join("trust.json")).unwrap();
    let mut command = world.command();
    command.arg("--trust").arg(mount.join("trust.json"));
    let gwd = Process::spawn(&mut command);
    for version in 2..5 {
        swap(version);
        let read = version as usize - 1;
        eventually("the swap is noticed", || {
            let events = gwd.events();
            let trust = events.iter().filter(|event| event["what"] == "trust");
            trust.count() == read
        });
    }
}
