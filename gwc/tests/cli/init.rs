//! `gwc init`.

use std::fs;
use std::path::Path;

use crate::project::{Ended, command, run};

fn in_folder(folder: &Path, arguments: &[&str]) -> Ended {
    run(command(folder).args(arguments))
}

#[test]
fn a_project_that_lints_clean_and_can_be_released() {
    let folder = tempfile::tempdir().unwrap();
    in_folder(folder.path(), &["init", "my shop"]).with(0);
    let project = folder.path().join("my shop");
    in_folder(&project, &["lint", "--fail-on", "info"])
        .with(0)
        .says("nothing found");
    let gateway = fs::read_to_string(project.join("gateway.yaml")).unwrap();
    assert!(gateway.starts_with("# yaml-language-server: $schema=schemas/gateway.schema.json\n"));
    assert!(gateway.contains("name: my-shop\n"));
    assert!(project.join("schemas/gateway.schema.json").is_file());
    let ignored = fs::read_to_string(project.join(".gitignore")).unwrap();
    assert!(ignored.contains("*.pem\n"));
    in_folder(&project, &["keygen", "release"]).with(0);
    in_folder(&project, &["apply", "--key", "keys/release.pem", "--yes"]).with(0);
    in_folder(&project, &["init"]).with(64).says("exists");
}

#[test]
fn the_folder_is_one_word_of_the_shell_that_enters_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, shown) in [
        ("My Shop!", "cd 'My Shop!'\n"),
        ("it's", "cd 'it'\\''s'\n"),
        ("shop-2", "cd shop-2\n"),
    ] {
        let ended = in_folder(folder.path(), &["init", name, "--name", "shop"]).with(0);
        assert!(ended.out.contains(shown), "{}", ended.out);
    }
}

#[test]
fn from_a_real_document() {
    let folder = tempfile::tempdir().unwrap();
    let museum = Path::new(env!("CARGO_MANIFEST_DIR")).join("../specs/museum.yaml");
    let ended = in_folder(
        folder.path(),
        &[
            "init",
            "museum",
            "--from",
            museum.to_str().unwrap(),
            "--format",
            "json",
        ],
    );
    let document = ended.with(0).json("init/v1");
    assert_eq!(document["name"], "museum");
    in_folder(
        &folder.path().join("museum"),
        &["lint", "--fail-on", "warn"],
    )
    .with(0);
    assert_eq!(
        fs::read(folder.path().join("museum/apis/museum.yaml")).unwrap(),
        fs::read(museum).unwrap()
    );
}

#[test]
fn with_the_files_that_it_refers_to() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("old/parts");
    fs::create_dir_all(&from).unwrap();
    fs::write(from.join("pet.yaml"), "type: object\n").unwrap();
    fs::write(
        folder.path().join("old/pets.yaml"),
        "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\nservers: [{url: /}]\npaths:\n  /pets:\n    get: {operationId: listPets, summary: s, responses: {\"200\": {description: d, content: {application/json: {schema: {$ref: parts/pet.yaml}}}}}}\n",
    )
    .unwrap();
    in_folder(folder.path(), &["init", "new", "--from", "old/pets.yaml"]).with(0);
    assert!(folder.path().join("new/apis/parts/pet.yaml").is_file());
}

#[test]
fn nothing_is_overwritten_and_nothing_is_half_done() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("README.md"), "mine\n").unwrap();
    in_folder(folder.path(), &["init", ".", "--name", "shop"])
        .with(0)
        .says("kept  README.md");
    assert_eq!(
        fs::read_to_string(folder.path().join("README.md")).unwrap(),
        "mine\n"
    );
    fs::write(folder.path().join("noise"), [0u8, 255]).unwrap();
    for from in ["noise", "missing.yaml", "README.md"] {
        in_folder(folder.path(), &["init", "other", "--from", from]).with(65);
    }
    in_folder(folder.path(), &["init", "other", "--name", "A B"]).with(64);
    assert!(!folder.path().join("other").exists());
}
