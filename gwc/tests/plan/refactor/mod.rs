//! Tests of changes of real documents. Refactorings must give the same id and an empty plan.
//! Changes of prose must give the same id and only DOCS lines. Other changes must give the class
//! listed for them. `GWC_TEST_FULL=1` applies every kind to every document.

mod kinds;
mod spellings;
mod tree;
mod walk;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use model::compile;
use model::source_map::SourceMap;
use plan::{Plan, Section, Side, compare};
use sources::parallel;
use sources::project::files::Files;
use sources::syntax::Limits;

use crate::dice::Dice;
use kinds::{Kind, PROSE, SAME, bound_names, rename};
use tree::{Tree, Yaml};

const GATEWAY: &str = "version: 1
name: corpus
apis: {a: {path: FILE}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

/// Maximum length of a small document, in bytes. The tests apply all kinds of changes to small
/// documents.
const SMALL: usize = 60_000;
/// Like [`SMALL`], for `make test-full`: each kind alone in a document of a megabyte takes minutes.
const SMALL_FULL: usize = 400_000;

/// Version for a plan from these files. The document is the last file.
///
/// # Errors
/// Returns the findings of level error.
fn side(files: &[(&str, &str)]) -> Result<Side, Vec<String>> {
    let (name, _) = files.last().expect("a document");
    let gateway = GATEWAY.replace("FILE", name);
    let all = files.iter().copied().chain([("gateway.yaml", &*gateway)]);
    let compiled = compile::project(Files::in_memory(all, Limits::default()), &Vec::new());
    let source = SourceMap::of(&compiled);
    let Some(lowered) = compiled.lowered else {
        let errors = compiled.findings.iter();
        return Err(errors
            .filter(|finding| finding.level == diag::Level::Error)
            .map(|finding| format!("{}: {}", finding.lint.name, finding.message))
            .collect());
    };
    let bundle = gwc::assemble::assemble(&lowered).map_err(|error| vec![error.to_string()])?;
    Ok(Side {
        bundle: bundle.id(),
        lowered,
        source: Some(source),
    })
}

fn plan(old: &Side, new: &Side) -> Plan {
    compare(Some(old), new).expect("both sides build")
}

/// True if the tests apply each kind of changes alone to the document.
fn is_small(base: &Base) -> bool {
    let bytes_max = if prerequisite::is_full() {
        SMALL_FULL
    } else {
        SMALL
    };
    base.original.len() < bytes_max
}

/// Document of the corpus that consists of one file.
struct Subject {
    name: String,
    text: String,
}

/// Documents in the repository, and those of the full corpus if it is available.
fn subjects() -> Vec<Subject> {
    let mut subjects = Vec::new();
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    let names = [
        "museum.yaml",
        "petstore.yaml",
        "figma.yaml",
        "discord.json",
        "xero_accounting.yaml",
        "stripe.yaml",
    ];
    for name in names {
        let bytes = std::fs::read(packed.join(format!("{name}.gz"))).expect("a packed document");
        let mut text = String::new();
        let mut unpacked = flate2::read::GzDecoder::new(&bytes[..]);
        unpacked.read_to_string(&mut text).expect("a text");
        subjects.push(Subject {
            name: name.to_owned(),
            text,
        });
    }
    let corpus = prerequisite::corpus::folder();
    for path in documents(&corpus.join("conformance")) {
        if let Ok(text) = std::fs::read_to_string(&path) {
            let name = path.strip_prefix(&corpus).expect("below it").display();
            subjects.push(Subject {
                name: name.to_string(),
                text,
            });
        }
    }
    subjects
}

fn documents(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let document = path
                .extension()
                .is_some_and(|end| end == "yaml" || end == "json");
            if path.is_dir() {
                waiting.push(path);
            } else if document {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Document that compiles, with a tree from another parser.
struct Base {
    name: String,
    original: String,
    tree: Tree,
    side: Side,
}

impl Base {
    fn of(subject: &Subject) -> Option<Self> {
        let tree = Tree::read(&subject.text)?;
        // Skip Swagger 2.0, which has its own tests.
        tree.get("openapi")?;
        // Skip documents with pointers through `paths`, because their targets cannot be moved.
        if subject.text.contains("#/paths/") {
            return None;
        }
        let side = side(&[("api.json", &tree.json())]).ok()?;
        Some(Self {
            name: subject.name.clone(),
            original: subject.text.clone(),
            tree,
            side,
        })
    }
}

/// Runs a check on every subject. Returns its reports and the number of subjects.
fn for_each_base(check: impl Fn(&Base) -> Vec<String> + Send + Sync) -> usize {
    let subjects = subjects();
    let all = subjects.len();
    let results = parallel::map(subjects, |subject| {
        let base = Base::of(&subject)?;
        Some(check(&base))
    });
    let looked_at = results.iter().flatten().count();
    eprintln!(
        "{looked_at} documents; {} have errors as a project, or refer to each other",
        all - looked_at
    );
    let wrong: Vec<String> = results.into_iter().flatten().flatten().collect();
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    looked_at
}

fn seed_of(name: &str) -> u64 {
    name.bytes().fold(5, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    })
}

/// Lists of kinds to apply together to one document: each kind alone for small documents, and all
/// kinds together for others.
fn chosen(base: &Base, kinds: &'static [Kind], dice: &mut Dice) -> Vec<Vec<&'static Kind>> {
    if is_small(base) {
        return kinds.iter().map(|kind| vec![kind]).collect();
    }
    // Apply all kinds together in a random order, because applying each kind alone takes a minute.
    let mut all: Vec<&Kind> = kinds.iter().collect();
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at + 1));
    }
    vec![all]
}

fn failure_text(base: &Base, kind: &str, why: &str) -> String {
    format!("{} {kind}: {why}", base.name)
}

fn lines(plan: &Plan) -> String {
    let lines = crate::lines(plan);
    let more = lines.len().saturating_sub(5);
    let lines: Vec<String> = plan
        .changes
        .iter()
        .zip(lines)
        .take(5)
        .map(|(change, line)| {
            format!(
                "{line} {}: {} -> {}",
                change.subject, change.old, change.new
            )
        })
        .collect();
    format!("{} (and {more} more)", lines.join("; "))
}

fn must_be_same(base: &Base, kind: &str, files: &[(&str, &str)]) -> Option<String> {
    let after = match side(files) {
        Ok(after) => after,
        Err(errors) => return Some(failure_text(base, kind, &errors.join("; "))),
    };
    let plan = plan(&base.side, &after);
    if !plan.changes.is_empty() {
        return Some(failure_text(base, kind, &lines(&plan)));
    }
    (base.side.bundle != after.bundle).then(|| failure_text(base, kind, "another id, and no line"))
}

#[test]
fn rewritten_document_has_an_empty_plan() {
    let count = for_each_base(|base| {
        let mut wrong = Vec::new();
        let itself = plan(&base.side, &base.side);
        if !itself.changes.is_empty() {
            wrong.push(failure_text(base, "itself", &lines(&itself)));
        }
        let seed = seed_of(&base.name);
        let yaml = |comments, anchors| {
            base.tree.yaml(Yaml {
                seed,
                comments,
                anchors,
            })
        };
        let small = is_small(base);
        // The original text differs from the tree only in notation. For example, other parsers read
        // the numbers 1.10 and 1e3 as floats.
        wrong.extend(must_be_same(
            base,
            "original",
            &[("api.yaml", &base.original)],
        ));
        wrong.extend(must_be_same(
            base,
            "yaml",
            &[("api.yaml", &yaml(true, true))],
        ));
        if small {
            wrong.extend(must_be_same(
                base,
                "comments",
                &[("api.yaml", &yaml(true, false))],
            ));
            wrong.extend(must_be_same(
                base,
                "anchors",
                &[("api.yaml", &yaml(false, true))],
            ));
        }
        wrong
    });
    assert!(count >= 5);
}

#[test]
fn refactorings_of_every_kind_leave_id_and_plan_alone() {
    for_each_base(|base| {
        let mut dice = Dice::new(seed_of(&base.name));
        let mut wrong = Vec::new();
        for kinds in chosen(base, SAME, &mut dice) {
            let mut tree = base.tree.clone();
            let mut names = Vec::new();
            for (name, change) in kinds {
                if change(&mut tree, &mut dice) {
                    names.push(*name);
                }
            }
            if !names.is_empty() {
                let name = names.join(" ");
                wrong.extend(must_be_same(base, &name, &[("api.json", &tree.json())]));
            }
        }
        wrong
    });
}

#[test]
fn a_document_split_into_files_is_the_same() {
    for_each_base(|base| {
        let mut dice = Dice::new(seed_of(&base.name));
        let mut tree = base.tree.clone();
        let Some(part) = split_off(&mut tree, &mut dice) else {
            return Vec::new();
        };
        let files = [("parts/part.json", &*part), ("api.json", &*tree.json())];
        must_be_same(base, "split", &files).into_iter().collect()
    });
}

/// Moves some named schemas to a separate file.
fn split_off(tree: &mut Tree, dice: &mut Dice) -> Option<String> {
    let bound = bound_names(tree);
    let schemas = tree.get_mut("components")?.get_mut("schemas")?;
    let Tree::Map(entries) = schemas else {
        return None;
    };
    let mut moved = Vec::new();
    for (name, schema) in entries.iter_mut() {
        let own = schema.json();
        let named = own.contains("\"discriminator\"") || own.contains("\"$id\"");
        let named = named || own.contains("nchor\"") || own.contains("\"$defs\"");
        if bound.contains(name) || named || schema.target().is_some() || !dice.chance(5) {
            continue;
        }
        let pointer = name.replace('~', "~0").replace('/', "~1");
        let reference = Tree::reference(&format!("parts/part.json#/{pointer}"));
        moved.push((name.clone(), std::mem::replace(schema, reference)));
    }
    let mut part = Tree::Map(moved);
    part.each(&mut |tree| {
        if let Some(Tree::Text(text)) = tree.get_mut("$ref")
            && text.starts_with('#')
        {
            *text = format!("../api.json{text}");
        }
    });
    Some(part.json())
}

#[test]
fn changed_prose_keeps_the_id_and_is_under_docs() {
    for_each_base(|base| {
        let mut dice = Dice::new(seed_of(&base.name));
        let mut wrong = Vec::new();
        for kinds in chosen(base, PROSE, &mut dice) {
            let mut tree = base.tree.clone();
            let mut names = Vec::new();
            for (name, change) in kinds {
                if change(&mut tree, &mut dice) {
                    names.push(*name);
                }
            }
            if names.is_empty() {
                continue;
            }
            let name = names.join(" ");
            let after = match side(&[("api.json", &tree.json())]) {
                Ok(after) => after,
                Err(errors) => {
                    wrong.push(failure_text(base, &name, &errors.join("; ")));
                    continue;
                }
            };
            let plan = plan(&base.side, &after);
            let docs = plan
                .changes
                .iter()
                .all(|change| change.section == Section::Docs);
            let operations = base.side.lowered.gateway.apis.iter();
            let served = operations.map(|api| api.operations.len()).sum::<usize>() > 0;
            let silent = served && plan.changes.is_empty();
            if base.side.bundle != after.bundle || !docs || silent || !plan.no_op {
                wrong.push(failure_text(base, &name, &lines(&plan)));
            }
        }
        wrong
    });
}

#[test]
fn component_renamed_without_mapping_is_breaking() {
    const PETS: &str = "openapi: 3.1.0
info: {title: t, version: v}
paths:
  /pets:
    get: {operationId: list, security: [], x-gateway: {public: true}, responses: {\"200\": {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}}}
components:
  schemas:
    Pet: {oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}], discriminator: {propertyName: kind}}
    Cat: {type: object, required: [kind], properties: {kind: {type: string}}}
    Dog: {type: object, required: [kind], properties: {kind: {type: string}, barks: {type: boolean}}}
";
    const PARENT: &str = "openapi: 3.1.0
info: {title: t, version: v}
paths:
  /pets:
    get: {operationId: list, security: [], x-gateway: {public: true}, responses: {\"200\": {description: d, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}}}
components:
  schemas:
    Pet: {type: object, required: [kind], properties: {kind: {type: string}}, discriminator: {propertyName: kind}}
    Dog: {allOf: [{$ref: '#/components/schemas/Pet'}, {type: object, properties: {barks: {type: boolean}}}]}
";
    for text in [PETS, PARENT] {
        let old = Tree::read(text).unwrap();
        let mut new = old.clone();
        rename(&mut new, "schemas", "Dog", "Hound");
        let side = |tree: &Tree| side(&[("api.json", &tree.json())]).unwrap();
        let plan = plan(&side(&old), &side(&new));
        let lines = crate::lines(&plan);
        let all = lines.iter();
        let mut all = all.map(|line| line.split(' ').nth(2).unwrap_or_default());
        assert!(!lines.is_empty(), "a value of the discriminator differs");
        assert!(
            all.all(|id| id.contains("-discriminator-mapping-") || id == "response-schema-widened"),
            "{lines:?}"
        );
        // If the discriminator maps every value, the schema's name has no further meaning.
        let mapped = |tree: &Tree, name: &str| {
            let mut tree = tree.clone();
            let pet = tree.within("components").within("schemas").within("Pet");
            let dog = Tree::text(&format!("#/components/schemas/{name}"));
            pet.within("discriminator")
                .set("mapping", Tree::map([("dog", dog)]));
            tree
        };
        let (old, new) = (side(&mapped(&old, "Dog")), side(&mapped(&new, "Hound")));
        assert_eq!(old.bundle, new.bundle);
    }
}
