//! Resolution of a project's documents to APIs. Each document is first checked alone, then resolved
//! with the settings of gateway.yaml.

use diag::Sink;

use super::load::Loaded;
use crate::Api;
use crate::api::{self, Described};
use crate::settings::{ApiEntry, Settings};
use crate::verifiers::Own;
use openapi::lint::Chosen;
use openapi::lint::rules::unsupported_pattern;
use openapi::spec::Spec;
use sources::parallel;
use sources::project::files::Files;

/// Document of an API that was checked alone, without the settings of gateway.yaml.
pub(super) struct Checked<'e> {
    entry: &'e ApiEntry,
    /// Content of the document. `None` if the file is not an OpenAPI document.
    described: Option<Described>,
    overlay_failed: bool,
    /// Findings of this document. Each document has its own sink, so the order of findings does not
    /// depend on the threads.
    sink: Sink,
}

/// APIs of the project in the environment.
pub(super) struct Resolved {
    pub(super) apis: Vec<Api>,
    /// True if every document is an OpenAPI document.
    pub(super) is_complete: bool,
    /// True if an action of an overlay failed, so that parts of an API are missing.
    pub(super) overlay_failed: bool,
}

/// Checks each document alone, and reads the verifiers that it defines.
pub(super) fn described<'e>(
    files: &mut Files,
    documents: Vec<Loaded<'e>>,
    chosen: &Chosen,
) -> Vec<Checked<'e>> {
    let shared = &*files;
    let checked: Vec<(Loaded<'e>, Option<Spec>, Sink)> = parallel::map(documents, |loaded| {
        let mut sink = Sink::default();
        let spec = openapi::check::document(shared, &loaded.document, chosen, &mut sink);
        (loaded, spec, sink)
    });
    // Reading the key files of verifiers changes `files`, so this part is not parallel.
    let read_verifiers = |(loaded, spec, mut sink): (Loaded<'e>, Option<Spec>, Sink)| Checked {
        described: spec.map(|spec| Described {
            verifiers: Own::read(files, &loaded.entry.name, &spec, &mut sink),
            document: loaded.document,
            public: loaded.public,
            spec,
        }),
        entry: loaded.entry,
        overlay_failed: loaded.overlay_failed,
        sink,
    };
    checked.into_iter().map(read_verifiers).collect()
}

/// Resolves each API with the settings of gateway.yaml.
pub(super) fn resolved(
    files: &Files,
    checked: Vec<Checked<'_>>,
    (settings, environment): (&Settings, Option<&str>),
    sink: &mut Sink,
) -> Resolved {
    let mut all = Resolved {
        apis: Vec::with_capacity(checked.len()),
        is_complete: true,
        overlay_failed: false,
    };
    let each = parallel::map(checked, |one| {
        let failed = one.overlay_failed;
        (failed, resolve(files, one, (settings, environment)))
    });
    for (failed, (here, api, found)) in each {
        all.is_complete &= api.is_some();
        all.overlay_failed |= failed;
        all.apis.extend(api.filter(|_| here));
        sink.append(found);
    }
    all
}

/// Resolves one API. The boolean is true if the API belongs to the environment.
fn resolve(
    files: &Files,
    checked: Checked<'_>,
    (settings, environment): (&Settings, Option<&str>),
) -> (bool, Option<Api>, Sink) {
    let Checked {
        entry,
        described,
        overlay_failed,
        mut sink,
    } = checked;
    let here = entry.is_in(environment);
    // For an API of another environment, report only findings about its document. Also mark the
    // names that the API uses as used. After a failed overlay, other findings would only be
    // consequences.
    let mut unreported = Sink::default();
    let receiver = match here && !overlay_failed {
        true => &mut sink,
        false => &mut unreported,
    };
    let api = described.map(|described| api::resolve(files, entry, described, settings, receiver));
    let validates = |api: &Api| {
        let mut operations = api.operations.iter();
        operations.any(|operation| operation.validates())
    };
    if here && api.as_ref().is_some_and(validates) {
        sink.raise(&unsupported_pattern::LINT);
    }
    (here, api, sink)
}
