//! Comparisons with a bundle that can be decoded, but whose content gwd refuses.

use std::fs;

use bundle::manifest::{ApiPart, Bundle, Parts};
use bundle::store::Store as _;
use bundle::store::memory::Memory;
use bundle::verify::Unverified;
use bundle::{archive, codec, ir, publish};

use crate::project::Project;

/// Writes the bundle of a file to another file, with `change` applied to its listeners.
fn rewrite(project: &Project, [from, to]: [&str; 2], change: impl Fn(&mut ir::Listener)) {
    let store = archive::read(&fs::read(project.file(from)).unwrap()).unwrap();
    let id = store.bundles().unwrap()[0];
    let unverified = Unverified::open(&store, id).unwrap();
    let full = unverified.load_full(&store).unwrap();
    let mut shared: ir::Shared = codec::decode(&full.runtime.shared.bytes).unwrap();
    let mut listeners = shared.listeners.into_vec();
    listeners.iter_mut().for_each(change);
    shared.listeners = ir::Set::new(listeners).unwrap();
    let apis = full.runtime.apis.iter().zip(&full.contracts);
    let apis = apis.map(|(api, contract)| ApiPart {
        name: codec::decode::<ir::Api>(&api.bytes).unwrap().name,
        behaviour: api.bytes.clone(),
        contract: contract.bytes.clone(),
    });
    let documents = full.runtime.documents.iter();
    let parts = Parts {
        shared: codec::encode(&shared),
        consumers: full.runtime.consumers.as_ref().map(|it| it.bytes.clone()),
        apis: apis.collect(),
        documents: documents.map(|it| it.bytes.clone()).collect(),
    };
    let changed = Bundle::assemble(unverified.config().clone(), parts).unwrap();
    let memory = Memory::default();
    publish::put_bundle(&memory, &changed).unwrap();
    fs::write(project.file(to), archive::write(&memory.into_content())).unwrap();
}

#[test]
fn bundle_that_gwd_refuses_is_an_input_error() {
    let project = Project::bare();
    project.run(&["build", "-o", "sound.tar"]).with(0);
    rewrite(&project, ["sound.tar", "same.tar"], |_| {});
    let plan = |file: &str| project.run(&["plan", "--against", file]);
    let diff = |old: &str, new: &str| project.run(&["diff", old, new]);
    diff("same.tar", ".").with(0);
    rewrite(&project, ["sound.tar", "bad.tar"], |listener| {
        listener.address = "nowhere".to_owned();
    });
    for ended in [plan("bad.tar"), diff("bad.tar", "."), diff(".", "bad.tar")] {
        ended
            .with(65)
            .contains("error[bad-bundle]: `bad.tar`: ")
            .contains("`nowhere` is not an address")
            .contains("compare with another version");
    }
}

#[test]
fn document_with_another_extension_is_named() {
    let project = Project::bare();
    project.write("old.yaml", "openapi: 3.1.0\n");
    project.write("new.bak", "openapi: 3.1.0\n");
    let ended = project.run(&["diff", "old.yaml", "new.bak"]).with(65);
    let expected = "reads a file as a bundle unless its name ends in .yaml, .yml or .json";
    assert!(ended.err.contains(expected), "{}", ended.err);
}
