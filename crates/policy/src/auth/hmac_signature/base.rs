//! Signature base: the text that a client signs, built from the request (RFC 9421 §2).
//!
//! | Component | Value |
//! |---|---|
//! | a field | its lines, joined by `, ` (§2.1) |
//! | a field with `sf` | the value, parsed as a structured field and serialised again (§2.1.1) |
//! | a field with `key` | one member of a dictionary (§2.1.2) |
//! | a field with `bs` | each line as a byte sequence (§2.1.3) |
//! | `@method` | the method (§2.2.1) |
//! | `@target-uri` | scheme, authority, path and query as the client sees them (§2.2.2) |
//! | `@authority` | host in lower case, and the port unless it is the scheme's default (§2.2.3) |
//! | `@scheme` | `http` or `https` (§2.2.4) |
//! | `@request-target` | path and query as received (§2.2.5) |
//! | `@path` | the path (§2.2.6) |
//! | `@query` | `?` and the query (§2.2.7) |
//! | `@query-param` | one parameter that occurs once (§2.2.8) |
//!
//! Components of responses (`@status`, `req`) and of trailers (`tr`) are refused.

use std::borrow::Cow;

use http::uri::PathAndQuery;
use sfv::{BareItem, FieldType as _, InnerList, Item, List, ListEntry, Parameters};

use super::structured::{combined, dictionary, item, list};
use super::{CONTENT_DIGEST, FIELD, INPUT, Reason};
use crate::auth::dpop::ClientUrl;
use crate::head::RequestHead;

/// Maximum number of covered components.
const COMPONENTS_MAX: usize = 64;

/// Maximum length of a signature base, in bytes.
const BYTES_MAX: usize = 128 << 10;

/// Fields that are known to be dictionaries. A component with the parameter `sf` is refused if its
/// field's type is unknown, because a structured field cannot be parsed without its type.
const DICTIONARIES: &[&str] = &[
    CONTENT_DIGEST,
    "priority",
    "repr-digest",
    "want-content-digest",
    "want-repr-digest",
    FIELD,
    INPUT,
];
const LISTS: &[&str] = &["accept-ch", "cache-status", "proxy-status"];
const ITEMS: &[&str] = &["idempotency-key"];

/// Signature base, with the identifiers of the covered components in the form of [`identifier`].
pub type Base = (Vec<u8>, Vec<String>);

/// Request as its client signed it.
pub struct Message<'m> {
    pub(super) head: &'m RequestHead,
    /// Target as the client sent it.
    pub(super) target: &'m PathAndQuery,
    /// URL of the request as the client sees it. `None` if it is not known.
    url: Option<ClientUrl>,
}

impl<'m> Message<'m> {
    /// Creates the message of a request. `received` is the target before normalisation; `None` if
    /// normalisation did not change the target.
    #[must_use]
    pub fn new(
        head: &'m RequestHead,
        received: Option<&'m PathAndQuery>,
        url: Option<ClientUrl>,
    ) -> Self {
        Self {
            head,
            target: received.unwrap_or(&head.target),
            url,
        }
    }

    /// Signature bases of all signatures of the message, including signatures by unknown keys. Each
    /// base has the identifiers of the components that it covers.
    ///
    /// # Errors
    /// `Signature-Input` is absent or invalid, or a component cannot be built.
    pub fn bases(&self) -> Result<Vec<Base>, Reason> {
        let value = combined(&self.head.headers, INPUT).ok_or(Reason::Malformed)?;
        let inputs = dictionary(&value)?;
        let lists = inputs.values().map(|entry| match entry {
            ListEntry::InnerList(list) => self.base(list),
            ListEntry::Item(_) => Err(Reason::Malformed),
        });
        lists.collect()
    }

    /// Builds the signature base of one signature and the identifiers of its components. `covered`
    /// is the list of covered components, with the signature parameters.
    ///
    /// # Errors
    /// A component is unknown, absent, or occurs several times; or there are too many components,
    /// or the text is too long.
    pub(super) fn base(&self, covered: &InnerList) -> Result<Base, Reason> {
        if covered.items.len() > COMPONENTS_MAX {
            return Err(Reason::TooLarge);
        }
        let mut identifiers: Vec<String> = Vec::new();
        let mut text: Vec<u8> = Vec::new();
        for item in &covered.items {
            let identifier = identifier(item)?;
            if identifiers.contains(&identifier) {
                return Err(Reason::Component);
            }
            identifiers.push(identifier);
            text.extend_from_slice(item.serialize().as_bytes());
            text.extend_from_slice(b": ");
            self.value(item, &mut text)?;
            text.push(b'\n');
            if text.len() > BYTES_MAX {
                return Err(Reason::TooLarge);
            }
        }
        text.extend_from_slice(b"\"@signature-params\": ");
        let parameters: List = vec![ListEntry::InnerList(covered.clone())];
        let parameters = parameters.serialize().ok_or(Reason::Malformed)?;
        text.extend_from_slice(parameters.as_bytes());
        Ok((text, identifiers))
    }

    /// Appends the value of a component to the signature base.
    fn value(&self, item: &Item, text: &mut Vec<u8>) -> Result<(), Reason> {
        let name = name(item)?;
        if !name.starts_with('@') {
            return self.field(name, &item.params, text);
        }
        if name == "@query-param" {
            let value = self.parameter(&item.params)?;
            text.extend_from_slice(value.as_bytes());
            return Ok(());
        }
        if !item.params.is_empty() {
            return Err(Reason::Component);
        }
        let url = || self.url.as_ref().ok_or(Reason::Component);
        let query = self.target.query();
        let value: Cow<'_, str> = match name {
            "@method" => self.head.method.as_str().into(),
            "@authority" => authority(url()?).into(),
            "@scheme" => url()?.scheme.into(),
            "@target-uri" => {
                let url = url()?;
                let query = query.map_or_else(String::new, |query| format!("?{query}"));
                let path = self.path();
                format!("{}://{}{path}{query}", url.scheme, authority(url)).into()
            }
            "@request-target" => self.target.as_str().into(),
            "@path" => self.path(),
            "@query" => format!("?{}", query.unwrap_or_default()).into(),
            _ => return Err(Reason::Component),
        };
        text.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// Path as the client sees it, including the prefix that a trusted proxy removed.
    pub(super) fn path(&self) -> Cow<'_, str> {
        let seen = self.url.as_ref().map(|url| url.path.as_str());
        let prefix = seen.and_then(|seen| seen.strip_suffix(self.head.path()));
        match prefix.unwrap_or_default() {
            "" => self.target.path().into(),
            prefix => format!("{prefix}{}", self.target.path()).into(),
        }
    }

    fn field(&self, name: &str, params: &Parameters, text: &mut Vec<u8>) -> Result<(), Reason> {
        let is = |flag: &str| match params.get(flag) {
            None => Ok(false),
            Some(BareItem::Boolean(true)) => Ok(true),
            Some(_) => Err(Reason::Component),
        };
        let (sf, bs) = (is("sf")?, is("bs")?);
        let key = match params.get("key") {
            None => None,
            Some(BareItem::String(key)) => Some(key.as_str()),
            Some(_) => return Err(Reason::Component),
        };
        let known = usize::from(sf) + usize::from(bs) + usize::from(key.is_some());
        if known != params.len() || bs && known > 1 {
            return Err(Reason::Component);
        }
        let headers = &self.head.headers;
        if bs {
            let lines = headers.get_all(name).iter();
            let lines = lines.map(|line| {
                let bytes = line.as_bytes().trim_ascii().to_vec();
                let item: List = vec![ListEntry::Item(Item::new(BareItem::ByteSequence(bytes)))];
                item.serialize().ok_or(Reason::Component)
            });
            let lines: Vec<String> = lines.collect::<Result<_, _>>()?;
            if lines.is_empty() {
                return Err(Reason::Component);
            }
            text.extend_from_slice(lines.join(", ").as_bytes());
            return Ok(());
        }
        let value = combined(headers, name).ok_or(Reason::Component)?;
        if let Some(key) = key {
            let members = dictionary(&value).map_err(|_| Reason::Component)?;
            let member = members.get(key).ok_or(Reason::Component)?;
            let member: List = vec![member.clone()];
            let member = member.serialize().ok_or(Reason::Component)?;
            text.extend_from_slice(member.as_bytes());
            return Ok(());
        }
        if sf {
            let strict = structured(name, &value).ok_or(Reason::Component)?;
            text.extend_from_slice(strict.as_bytes());
            return Ok(());
        }
        // A line end in the value would begin another component (§7.5.3). Other control characters
        // and bytes outside ASCII need the parameter `bs` (§2.1.3).
        let is_plain = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
        if !value.iter().all(is_plain) {
            return Err(Reason::Component);
        }
        text.extend_from_slice(&value);
        Ok(())
    }

    /// Value of the query parameter named by the component parameter `name`. The query parameter
    /// must occur once.
    fn parameter(&self, params: &Parameters) -> Result<String, Reason> {
        let wanted = match params.get("name") {
            Some(BareItem::String(name)) if params.len() == 1 => name.as_str(),
            _ => return Err(Reason::Component),
        };
        let query = self.target.query().unwrap_or_default();
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let mut found = None;
        for pair in pairs {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if encoded(name).ok_or(Reason::Component)? != wanted {
                continue;
            }
            if found.is_some() {
                return Err(Reason::Component);
            }
            found = Some(encoded(value).ok_or(Reason::Component)?);
        }
        found.ok_or(Reason::Component)
    }
}

/// Component identifier: its name, then its parameters sorted by name (`content-digest;sf`). The
/// order of parameters does not distinguish components (RFC 9421 §2).
pub(super) fn identifier(item: &Item) -> Result<String, Reason> {
    let name = name(item)?;
    let params = item.params.iter();
    let params = params.map(|(key, value)| {
        let one = Item::with_params(true, Parameters::from_iter([(key.clone(), value.clone())]));
        let text = one.serialize();
        text.strip_prefix("?1")
            .map(str::to_owned)
            .ok_or(Reason::Component)
    });
    let mut params: Vec<String> = params.collect::<Result<_, _>>()?;
    params.sort_unstable();
    Ok(format!("{name}{}", params.concat()))
}

/// Parses a component identifier as users write it, such as `content-type` or
/// `@query-param;name="id"`.
#[cfg(feature = "author")]
#[must_use]
pub(super) fn read(text: &str) -> Option<String> {
    let (name, params) = text.split_at(text.find(';').unwrap_or(text.len()));
    let read = item(format!("\"{name}\"{params}").as_bytes()).ok()?;
    let known = match name {
        "@query-param" => read.params.get("name").is_some() && read.params.len() == 1,
        "@method" | "@authority" | "@scheme" | "@target-uri" | "@request-target" | "@path"
        | "@query" => read.params.is_empty(),
        _ if name.starts_with('@') => false,
        _ => read
            .params
            .keys()
            .all(|key| ["sf", "bs", "key"].contains(&key.as_str())),
    };
    identifier(&read).ok().filter(|_| known)
}

/// Checks and returns the name of a component: `@` and a name such as `method`, or a field name in
/// lower case.
fn name(item: &Item) -> Result<&str, Reason> {
    let BareItem::String(name) = &item.bare_item else {
        return Err(Reason::Malformed);
    };
    let name = name.as_str();
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
    };
    let rest = name.strip_prefix('@').unwrap_or(name);
    match !rest.is_empty() && rest.bytes().all(is_token) {
        true => Ok(name),
        false => Err(Reason::Component),
    }
}

/// Host, and the port unless it is the default of the scheme (RFC 9110 §4.2.3).
fn authority(url: &ClientUrl) -> String {
    let usual = if url.scheme == "https" { 443 } else { 80 };
    match url.port == usual {
        true => url.host.clone(),
        false => format!("{}:{}", url.host, url.port),
    }
}

/// Serialises the value of a structured field strictly (RFC 9421 §2.1.1). `None` if the type of the
/// field is unknown.
fn structured(name: &str, value: &[u8]) -> Option<String> {
    if DICTIONARIES.contains(&name) {
        dictionary(value).ok()?.serialize()
    } else if LISTS.contains(&name) {
        list(value).ok()?.serialize()
    } else if ITEMS.contains(&name) {
        Some(item(value).ok()?.serialize())
    } else {
        None
    }
}

/// Re-encodes a name or value of a query (`application/x-www-form-urlencoded`) in the canonical
/// form of RFC 9421 §2.2.8. `None` if the decoded text is not UTF-8.
fn encoded(text: &str) -> Option<String> {
    let decoded = crate::auth::place::decode(text);
    std::str::from_utf8(&decoded).ok()?;
    let mut out = String::with_capacity(decoded.len());
    for &byte in decoded.iter() {
        match byte {
            b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(out)
}
