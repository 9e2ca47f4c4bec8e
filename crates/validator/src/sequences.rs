//! Check of a body that is a sequence: as a whole, or item by item while gwd streams it.

use policy::invalid::Finding;

use crate::body::BodyKind;
use crate::items::ItemSchema;
use crate::operation::Operation;
use crate::splitter::{Piece, Splitter};
use crate::words;

impl Operation {
    /// Creates the splitter of a sequence. `kind`: value in `BodyUse::Split` or
    /// `ResponseUse::Split`. `None` if the body is no sequence.
    #[must_use]
    pub fn splitter(&self, kind: &BodyKind) -> Option<Splitter> {
        self.items(kind).map(|items| Splitter::new(items.format))
    }

    /// Checks an item of a sequence: the bytes up to a `Piece::End`, or to the end of the sequence.
    /// `index`: number of the preceding items, which becomes the first segment of the pointers in
    /// the findings. `None` if the bytes contain no item, such as a block of an event stream
    /// without `data`.
    #[must_use]
    pub fn item(&self, kind: &BodyKind, index: u64, bytes: &[u8]) -> Option<Vec<Finding>> {
        let mut findings = self.items(kind)?.check(bytes)?;
        for finding in &mut findings {
            finding.pointer.insert_str(1, &format!("/{index}"));
        }
        Some(findings)
    }

    /// Checks all items of a body that is a sequence. Returns at most 20 findings.
    #[must_use]
    pub fn sequence(&self, kind: &BodyKind, bytes: &[u8]) -> Vec<Finding> {
        let (mut findings, mut index) = (Vec::new(), 0);
        let Some(mut splitter) = self.splitter(kind) else {
            return findings;
        };
        let (mut start, mut at) = (0, 0);
        while at < bytes.len() && findings.len() < words::FINDINGS_MAX {
            let (length, is_item) = match splitter.next(&bytes[at..]) {
                Piece::Between(length) => (length, false),
                Piece::Inside(length) => (length, splitter.end()),
                Piece::End(length) => (length, true),
            };
            at += length;
            let item = is_item.then(|| self.item(kind, index, &bytes[start..at]));
            if let Some(found) = item.flatten() {
                findings.extend(found);
                index += 1;
            }
            start = at;
        }
        findings.truncate(words::FINDINGS_MAX);
        findings
    }

    fn items(&self, kind: &BodyKind) -> Option<&ItemSchema> {
        let body = match kind.response {
            None => self.body.as_ref()?,
            Some(response) => &self.responses.get(response)?.body,
        };
        body.types.get(kind.index)?.items.as_ref()
    }
}
