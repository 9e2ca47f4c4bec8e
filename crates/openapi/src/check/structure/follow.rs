//! Second pass of the structure check: resolves each reference and checks the type of its target.

use diag::{Diagnostic, FileId, NodeRef};

use super::{Waiting, Walk, slip};
use crate::spec::first_key;
use crate::spec::lints::{
    REFERENCE_CYCLE, UNRESOLVED_REFERENCE, UNUSUAL_REFERENCE, WRONG_REFERENCE_KIND,
};
use crate::spec::objects::{Object, Type};
use crate::spec::reference::{End, Fault, HOPS_MAX, reference};

impl<'a> Walk<'_, 'a> {
    pub(super) fn follow(&mut self, waiting: Waiting<'a>) {
        let Waiting {
            holder,
            reference: text,
            wanted,
        } = waiting;
        let target = match self.resolver.target(text) {
            Ok(target) => target,
            Err(fault) => return self.report_fault(text, &fault),
        };
        self.report(target.span().file);
        if self.is_endless(holder) {
            return;
        }
        let (Type::Object(object) | Type::BoolOr(object)) = wanted else {
            if self
                .walked
                .insert((target.id(), std::ptr::from_ref(wanted)))
            {
                self.value(target, wanted, target.span());
            }
            return;
        };
        let kinds = self.is(target);
        if kinds == 0 {
            return self.value(target, wanted, first_key(target));
        }
        if kinds & (1 << object.bit) == 0 {
            self.wrong_kind(text, target, object);
        }
    }

    /// Reports the syntax errors of a referenced file, once.
    fn report(&mut self, file: FileId) {
        if self.reported.insert(file) && !self.resolver.document().overlays.contains(&file) {
            self.resolver.files().report(file, self.sink);
        }
    }

    /// True if a chain of references has no value, because the chain is circular or too long.
    /// Reports such a chain.
    fn is_endless(&mut self, holder: NodeRef<'a>) -> bool {
        match self.resolver.end(holder) {
            End::Broken => false,
            End::Value(_, hops) if hops <= HOPS_MAX => false,
            End::Value(..) => {
                self.report_long(holder);
                true
            }
            End::Circle(member) => {
                if self.cycles.insert(member) {
                    self.report_cycle(self.resolver.node(member));
                }
                true
            }
        }
    }

    /// Reports chains of references that are too long, once for the whole document.
    fn report_long(&mut self, holder: NodeRef<'a>) {
        if std::mem::replace(&mut self.long, true) {
            return;
        }
        let place = reference(holder).map_or(holder.span(), NodeRef::span);
        self.sink.push(Diagnostic::new(
            &REFERENCE_CYCLE,
            place,
            format!("more than {HOPS_MAX} references in a row are not followed"),
        ));
    }

    fn report_cycle(&mut self, member: NodeRef<'a>) {
        let next = |node: &NodeRef<'a>| self.resolver.target(reference(*node)?).ok();
        let others = std::iter::successors(next(&member), next);
        let others = others.take_while(|node| node.id() != member.id());
        let members: Vec<NodeRef<'a>> = std::iter::once(member).chain(others).collect();
        let place = |node: &NodeRef<'a>| reference(*node).map_or(node.span(), NodeRef::span);
        let Some(first) = members.iter().min_by_key(|node| node.span()) else {
            return;
        };
        let mut finding = Diagnostic::new(
            &REFERENCE_CYCLE,
            place(first),
            "the references form a cycle and never reach a value",
        );
        for member in members
            .iter()
            .filter(|member| member.id() != first.id())
            .take(8)
        {
            finding = finding.related(place(member), "through this reference");
        }
        self.sink.push(finding);
    }

    fn wrong_kind(&mut self, text: NodeRef<'a>, target: NodeRef<'a>, wanted: &Object) {
        let is = self.is(target);
        let what = crate::spec::objects::ALL
            .iter()
            .find(|object| is & (1 << object.bit) != 0)
            .map_or("something else", |object| object.what);
        let written = text.as_str().unwrap_or_default().escape_debug();
        self.sink.push(
            Diagnostic::new(
                &WRONG_REFERENCE_KIND,
                text.span(),
                format!("`{written}` is {what}, but {} belongs here", wanted.what),
            )
            .label(format!(
                "referenced from here, where {} belongs",
                wanted.what
            ))
            .related(first_key(target), format!("defined here: this is {what}")),
        );
    }

    fn report_fault(&mut self, text: NodeRef<'a>, fault: &Fault) {
        let written = text.as_str().unwrap_or_default();
        let correction = || slip::correction(written, self.resolver.root());
        let shown = written.escape_debug();
        let finding = match fault {
            Fault::Unparsed(file) => return self.report(*file),
            Fault::File(refusal, path) => {
                let finding = refusal.finding(path, text.span());
                match correction() {
                    Some(help) => finding.help(help),
                    None => finding,
                }
            }
            Fault::BadPointer(why) => Diagnostic::new(
                &UNRESOLVED_REFERENCE,
                text.span(),
                format!("`{shown}` is not a JSON pointer: {}", why.escape_debug()),
            )
            .help(correction().unwrap_or_else(|| {
                "in a key, `~` is written `~0` and `/` is written `~1`; other bytes may be percent-encoded"
                    .to_owned()
            })),
            Fault::NotFound {
                file,
                reached,
                part,
                help,
            } => {
                self.report(*file);
                let path = self.resolver.files().sources.file(*file).path();
                let mut finding = Diagnostic::new(
                    &UNRESOLVED_REFERENCE,
                    text.span(),
                    format!("`{shown}` does not exist"),
                )
                .label(format!("no `{}` in `{path}`", part.escape_debug()));
                let reached = self.resolver.node(*reached);
                if reached.id() != self.resolver.document().root {
                    finding = finding.related(
                        first_key(reached),
                        format!("`{}` is not a key of this map", part.escape_debug()),
                    );
                }
                // An anchor cannot contain `/`, so the author meant a pointer.
                let is_anchor = !written.contains("#/");
                match correction().filter(|_| is_anchor).or_else(|| help.clone()) {
                    Some(help) => finding.help(help),
                    None => finding,
                }
            }
        };
        self.sink.push(finding);
    }

    /// Reports, in one finding, all references where OpenAPI does not allow a reference.
    pub(super) fn report_unusual(&mut self) {
        let Some(first) = self.unusual.iter().min().copied() else {
            return;
        };
        let message = match self.unusual.len() {
            1 => "OpenAPI does not allow a reference here; gwc follows it anyway".to_owned(),
            count => format!(
                "OpenAPI does not allow a reference here and in {} other places; gwc follows them \
anyway",
                count - 1
            ),
        };
        self.sink
            .push(Diagnostic::new(&UNUSUAL_REFERENCE, first, message));
    }
}
