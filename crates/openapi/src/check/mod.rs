//! Check of a document. A walk along the tables of [`crate::spec::objects`] checks the structure
//! and calls the rules of [`crate::lint`] on each object. The parts that can be read become a
//! [`Spec`].

use diag::Sink;
use sources::project::files::{Document, Files};

use crate::lint::{Chosen, Whole};
use crate::spec::reference::Resolver;
use crate::spec::{self, Spec};

mod structure;

/// Reads a document and runs every selected OpenAPI rule on it. `None` if the version of the
/// document is missing or not supported. The document's files must be loaded first
/// ([`Files::follow`]).
pub fn document(
    files: &Files,
    document: &Document,
    chosen: &Chosen,
    sink: &mut Sink,
) -> Option<Spec> {
    let resolver = Resolver::new(files, document);
    let version = spec::version(resolver.root(), sink)?;
    let extensions = structure::check(&resolver, version, chosen, sink);
    let mut read = spec::read(files, document, version);
    read.extensions = extensions;
    rules(files, document, &read, chosen, sink);
    Some(read)
}

/// Runs the rules for whole documents. All other rules run during the structure check.
fn rules(files: &Files, document: &Document, spec: &Spec, chosen: &Chosen, sink: &mut Sink) {
    let resolver = Resolver::new(files, document);
    let whole = Whole {
        spec,
        resolver: &resolver,
    };
    for check in chosen.specs() {
        check(&whole, sink);
    }
}
