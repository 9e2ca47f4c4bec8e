//! Names and who uses them: an unknown one is an error with the nearest known, an unused one a
//! warning at its definition.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use diag::{Diagnostic, Lint, Sink, Span, suggest};

use super::lints::{UNUSED_DEFINITION, WRONG_KIND};

/// The things of one kind by name.
#[derive(Debug)]
pub struct Names {
    /// `policy`, `upstream`, …
    kind: &'static str,
    unknown: &'static Lint,
    defined: BTreeMap<String, Definition>,
}

#[derive(Debug)]
struct Definition {
    span: Span,
    /// APIs are resolved beside each other; that one of them uses it is all that is asked.
    used: AtomicBool,
}

impl Names {
    /// The names of a kind; `unknown` is the finding for a name that is not among them.
    #[must_use]
    pub fn new(
        kind: &'static str,
        unknown: &'static Lint,
        defined: impl IntoIterator<Item = (String, Span)>,
    ) -> Self {
        let definition = |(name, span)| {
            let used = AtomicBool::new(false);
            (name, Definition { span, used })
        };
        Self {
            kind,
            unknown,
            defined: defined.into_iter().map(definition).collect(),
        }
    }

    /// Where a name is defined.
    #[must_use]
    pub fn defined(&self, name: &str) -> Option<Span> {
        self.defined.get(name).map(|definition| definition.span)
    }

    /// Whether `name` exists; it is used then.
    pub fn knows(&self, name: &str) -> bool {
        let definition = self.defined.get(name);
        if let Some(definition) = definition {
            // A line that two threads write for each operation is slower than one they read.
            if !definition.used.load(Ordering::Relaxed) {
                definition.used.store(true, Ordering::Relaxed);
            }
        }
        definition.is_some()
    }

    /// Whether `name`, used at `span`, exists; what is wrong is reported. `others` are names of
    /// other kinds: one that is meant by mistake is told as such.
    pub fn resolve(&self, name: &str, span: Span, others: &[&Self], sink: &mut Sink) -> bool {
        if self.knows(name) {
            return true;
        }
        let shown = name.escape_debug();
        if let Some(other) = others.iter().find(|other| other.defined.contains_key(name)) {
            sink.push(
                Diagnostic::new(
                    &WRONG_KIND,
                    span,
                    format!(
                        "`{shown}` is not {} but {}",
                        self.article(),
                        other.article()
                    ),
                )
                .label(format!("{} is needed here", self.article()))
                .related(
                    other.defined[name].span,
                    format!("`{shown}` is defined here"),
                ),
            );
            return false;
        }
        let mut finding = Diagnostic::new(
            self.unknown,
            span,
            format!("there is no {} `{shown}`", self.kind),
        );
        let near = suggest::nearest(name, self.defined.keys().map(String::as_str));
        finding = match near {
            Some(near) => finding
                .label(format!("did you mean `{near}`?"))
                .related(self.defined[near].span, format!("`{near}` is defined here"))
                .fix(span, near)
                .help(format!("write `{near}`")),
            None => finding
                .label(format!("not a {} of this project", self.kind))
                .help(format!(
                    "{}; define it in gateway.yaml",
                    suggest::one_of(self.defined.keys().map(String::as_str), 8)
                )),
        };
        sink.push(finding);
        false
    }

    /// Counts what the same names of another environment were used for.
    pub fn absorb(&self, other: &Self) {
        let used = |definition: &Definition| definition.used.load(Ordering::Relaxed);
        for (name, _) in other.defined.iter().filter(|(_, one)| used(one)) {
            self.knows(name);
        }
    }

    /// Reports what nobody used.
    pub fn report_unused(&self, sink: &mut Sink) {
        for (name, definition) in &self.defined {
            if definition.used.load(Ordering::Relaxed) {
                continue;
            }
            sink.push(
                Diagnostic::new(
                    &UNUSED_DEFINITION,
                    definition.span,
                    format!("the {} `{name}` is never used", self.kind),
                )
                .help("use it or remove it"),
            );
        }
    }

    fn article(&self) -> String {
        let vowel = self.kind.starts_with(['a', 'e', 'i', 'o', 'u']);
        format!("{} {}", if vowel { "an" } else { "a" }, self.kind)
    }
}
