//! A release that changes one API of many. Only that API is read and built.

use bundle::digest::Digest;
use bundle::ir;

use crate::fixture::*;
use crate::world::World;

const APIS: usize = 100;

/// A gateway with many APIs, each at `/NAME`. APIs whose index is in `newer` also answer at
/// `/NAME/newer`.
fn street(upstream: &Upstream, newer: &[usize]) -> ir::Gateway {
    let mut gateway = ir::Gateway {
        shared: shop(upstream.address, Vec::new()).gateway().shared,
        apis: ir::Set::default(),
    };
    gateway.shared.expose_bundle = true;
    let apis = (0..APIS).map(|number| {
        let name = format!("a{number:03}");
        let mut ops = vec![op("GET", "/here")];
        if newer.contains(&number) {
            ops.push(op("GET", "/newer"));
        }
        let mut shop = shop(upstream.address, ops);
        shop.mount.base_path = format!("/{name}");
        let mut api = shop.gateway().apis[0].clone();
        api.name = name;
        api
    });
    let apis: Vec<ir::Api> = apis.collect();
    let named = apis.iter().map(|api| ir::ApiRef {
        name: api.name.clone(),
        digest: *Digest::of(&bundle::codec::encode(api)).as_bytes(),
    });
    gateway.shared.apis = ir::Set::new(named.collect()).unwrap();
    gateway.apis = ir::Set::new(apis).unwrap();
    gateway
}

#[test]
fn only_the_changed_api_is_read_from_the_store() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let first = street(&upstream, &[]);
    world.release(&first);
    let gwd = world.start();
    let public = gwd.public();
    let blobs = world.path("store").join("blobs/sha256");
    let file = |api: &ir::Api| blobs.join(Digest::of(&bundle::codec::encode(api)).hex());
    let second = street(&upstream, &[7]);
    // Stop gwd meanwhile, so that it reads the new head only after the other blobs are damaged.
    gwd.signal(rustix::process::Signal::STOP);
    let two = world.release(&second);
    for api in &first.apis {
        std::fs::write(file(api), b"broken").unwrap();
    }
    gwd.signal(rustix::process::Signal::CONT);
    gwd.wait_for(&two);
    for (path, status) in [
        ("/a000/here", 200),
        ("/a000/newer", 404),
        ("/a007/here", 200),
        ("/a007/newer", 200),
        ("/a099/here", 200),
    ] {
        let answer = get(public, path);
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.field("x-gateway-bundle"), [two.short()], "{path}");
    }
    // The version needs one API that is not in memory, and its blob is damaged.
    let third = street(&upstream, &[7, 8]);
    gwd.signal(rustix::process::Signal::STOP);
    let three = world.release(&third);
    std::fs::write(file(&third.apis[8]), b"broken").unwrap();
    gwd.signal(rustix::process::Signal::CONT);
    eventually("bundle three is refused", || {
        gwd.status()["last_error"]["bundle"] == three.to_string()
    });
    assert_eq!(gwd.status()["last_error"]["reason"], "bad-digest");
    assert!(gwd.runs(&two));
    // The state folder has all blobs of the second version, so it starts without the store.
    gwd.kill();
    std::fs::remove_dir_all(world.path("store")).unwrap();
    let again = world.start();
    assert!(again.runs(&two));
    assert_eq!(get(again.public(), "/a099/here").status, 200);
}

#[test]
fn part_in_memory_is_used_for_its_own_digest_only() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let first = street(&upstream, &[]);
    let one = world.release(&first);
    let gwd = world.start();
    // The shared blob of this bundle names the digest of the changed API, but the bundle contains
    // the unchanged API, which is in memory.
    let mut mixed = street(&upstream, &[7]);
    mixed.apis = first.apis;
    let two = world.release(&mixed);
    eventually("bundle two is refused", || {
        gwd.status()["last_error"]["bundle"] == two.to_string()
    });
    assert_eq!(gwd.status()["last_error"]["reason"], "malformed");
    assert!(gwd.runs(&one));
}
