//! Rule for a discriminator mapping to a missing schema.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0356",
    name: "unresolved-discriminator",
    level: Level::Warn,
    summary: "a discriminator value without a schema",
    explain: "A value of `discriminator.mapping` is the name of a schema under `components.schemas`, or a reference to \
one. A value that maps to nothing selects no schema.",
    bad: v30!(
        "paths: {}\ncomponents:\n  schemas:\n    Pet: {type: object, required: [kind], properties: {kind: {type: string}}, discriminator: {propertyName: kind, mapping: {dog: Dgo}}}\n",
        "    Dog: {allOf: [{$ref: '#/components/schemas/Pet'}]}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents:\n  schemas:\n    Pet: {type: object, required: [kind], properties: {kind: {type: string}}, discriminator: {propertyName: kind, mapping: {dog: Dog}}}\n",
        "    Dog: {allOf: [{$ref: '#/components/schemas/Pet'}]}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(discriminator) = place.node.get("discriminator") else {
        return;
    };
    let components = place.resolver.root().get("components");
    let components = components.and_then(|all| place.resolver.resolve(all)?.get("schemas"));
    let components = components.and_then(|all| place.resolver.resolve(all));
    let mapping = discriminator
        .get("mapping")
        .into_iter()
        .flat_map(NodeRef::entries);
    let mapped = mapping.map(|(_, value)| value);
    for value in mapped.chain(discriminator.get("defaultMapping")) {
        let Some(text) = value.as_str() else { continue };
        let named = components.is_some_and(|all| all.get(text).is_some());
        if named || place.resolver.target(value).is_ok() {
            continue;
        }
        let finding = Diagnostic::new(
            &LINT,
            value.span(),
            format!("no schema belongs to `{}`", text.escape_debug()),
        );
        let names = components.into_iter().flat_map(NodeRef::entries);
        let name = text.rsplit('/').next().unwrap_or_default();
        let near = suggest::nearest(name, names.map(|(entry, _)| &*entry.key));
        sink.push(match near {
            Some(near) => finding.label(format!("did you mean `{near}`?")),
            None => finding
                .help("write the name of a schema under `components.schemas`, or a reference"),
        });
    }
}
