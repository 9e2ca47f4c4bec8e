//! Signature parameters and covered components of one signature (RFC 9421 §2.3, §4.1).

use sfv::{BareItem, Dictionary, InnerList, ListEntry};

use super::claim::Claim;
use super::content::Content;
use super::structured::{combined, dictionary};
use super::{Algorithm, CONTENT_DIGEST, FIELD, INPUT, Message, Reason};

/// Maximum number of signatures of a request.
const SIGNATURES_MAX: usize = 8;

/// Signature with its covered components and parameters, before it is verified.
#[derive(Debug)]
pub(super) struct Input<'d> {
    /// Covered components with their parameters, and the signature parameters.
    pub(super) list: &'d InnerList,
    /// The MAC.
    pub(super) signature: &'d [u8],
    /// Signature parameter `keyid`.
    pub(super) key_id: &'d str,
}

impl<'d> Input<'d> {
    /// Finds the only signature by a known key. Ignores signatures by unknown keys, because other
    /// parties such as proxies may sign as well (RFC 9421 §4.3).
    ///
    /// # Errors
    /// No signature or several signatures are by known keys.
    pub(super) fn find(
        inputs: &'d Dictionary,
        signatures: &'d Dictionary,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<Self, Reason> {
        if inputs.len() > SIGNATURES_MAX || signatures.len() > SIGNATURES_MAX {
            return Err(Reason::TooLarge);
        }
        let mut found = None;
        for (label, entry) in inputs {
            let ListEntry::InnerList(list) = entry else {
                return Err(Reason::Malformed);
            };
            let Some(key_id) = text(list, "keyid")?.filter(|id| is_known(id)) else {
                continue;
            };
            let signature = match signatures.get(label) {
                Some(ListEntry::Item(item)) => match &item.bare_item {
                    BareItem::ByteSequence(bytes) => bytes,
                    _ => return Err(Reason::Malformed),
                },
                Some(ListEntry::InnerList(_)) | None => return Err(Reason::Malformed),
            };
            if found.is_some() {
                return Err(Reason::Several);
            }
            found = Some(Self {
                list,
                signature,
                key_id,
            });
        }
        found.ok_or(Reason::Key)
    }

    /// Value of a signature parameter that is a string. `None` if the parameter is absent.
    ///
    /// # Errors
    /// The parameter is not a string.
    pub(super) fn text(&self, name: &str) -> Result<Option<&'d str>, Reason> {
        text(self.list, name)
    }

    /// Value of a signature parameter that is a time (Unix time, seconds). `None` if the parameter
    /// is absent.
    ///
    /// # Errors
    /// The value is not an integer, or is negative.
    pub(super) fn time(&self, name: &str) -> Result<Option<u64>, Reason> {
        match self.list.params.get(name) {
            None => Ok(None),
            Some(BareItem::Integer(seconds)) => u64::try_from(i64::from(*seconds))
                .map(Some)
                .map_err(|_| Reason::Malformed),
            Some(_) => Err(Reason::Malformed),
        }
    }
}

impl Message<'_> {
    /// Parses the only signature of the message by a known key and builds the signed text. Does not
    /// verify the MAC.
    ///
    /// # Errors
    /// The reason of the first check of the format that the signature fails.
    pub(super) fn claim(&self, is_known: impl Fn(&str) -> bool) -> Result<Claim, Reason> {
        let headers = &self.head.headers;
        let field = |name: &str| combined(headers, name).ok_or(Reason::Malformed);
        let inputs = dictionary(&field(INPUT)?)?;
        let signatures = dictionary(&field(FIELD)?)?;
        let input = Input::find(&inputs, &signatures, is_known)?;
        let algorithm = input.text("alg")?;
        let algorithm = algorithm.map(|name| Algorithm::of(name).ok_or(Reason::Algorithm));
        let created_s = input.time("created")?.ok_or(Reason::Age)?;
        let expires_s = input.time("expires")?;
        let nonce = input.text("nonce")?.map(str::to_owned);
        let (text, covered) = self.base(input.list)?;
        let content = match covered.iter().any(|one| one == CONTENT_DIGEST) {
            true => Some(Content::of(&field(CONTENT_DIGEST)?)?),
            false => None,
        };
        Ok(Claim {
            key_id: input.key_id.to_owned(),
            algorithm: algorithm.transpose()?,
            created_ms: created_s.saturating_mul(1_000),
            expires_s,
            nonce,
            content,
            text,
            covered,
            mac: input.signature.to_vec(),
        })
    }
}

fn text<'d>(list: &'d InnerList, name: &str) -> Result<Option<&'d str>, Reason> {
    match list.params.get(name) {
        None => Ok(None),
        Some(BareItem::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(Reason::Malformed),
    }
}
