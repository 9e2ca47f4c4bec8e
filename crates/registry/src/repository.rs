//! Requests to one repository of a registry (OCI distribution specification 1.1).

use std::sync::{Mutex, PoisonError};

use bundle::digest::Digest;
use bundle::oci::{MANIFEST, MANIFEST_BYTES_MAX};
use bundle::refused::Refused;
use bytes::Bytes;
use http::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::address::Address;
use crate::auth::{Access, Authorization};
use crate::http::{Answer, Call, Client, Failure, Partial, Patience, text};
use crate::settings::Settings;
use crate::tls;
use crate::url::{Origin, Url, encode};
use crate::wire::{
    self, ERROR_BYTES_MAX, INDEX, INDEX_BYTES_MAX, IndexEntry, TAG_LIST_BYTES_MAX, TAGS_BYTES_MAX,
    TAGS_MAX,
};

/// Number of tags that are requested in one page.
const PAGE: usize = 1_000;
/// Maximum number of pages of a list of tags. Registries send at least 100 tags in a page, so a
/// list usually reaches the limit on the number of tags first.
pub(crate) const PAGES_MAX: usize = 2_000;
/// Maximum number of requests for one blob. After an interruption, the next request continues with
/// the missing bytes.
const RESUMES_MAX: u32 = 8;

/// Repository of a registry.
#[derive(Debug)]
pub(crate) struct Repository {
    address: Address,
    pub(crate) client: Client,
    authorization: Authorization,
    plain_http: bool,
    /// True if HTTP may be used after the registry has answered a TLS handshake without TLS.
    may_be_plain: bool,
    /// True if the registry was found to use HTTP.
    is_plain: Mutex<bool>,
}

/// Result of a request that writes a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The manifest is stored. True if the registry lists it as a referrer of its subject.
    Stored(bool),
    /// The tag exists already, and the registry supports conditional requests.
    Exists,
}

/// Kind of content that a digest identifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Manifest,
    Blob,
}

impl Repository {
    /// Prepares requests to a repository without sending any.
    pub(crate) fn new(address: Address, settings: &Settings) -> Result<Self, Refused> {
        let tls = tls::connector(settings).map_err(|why| unreachable(&address, &why))?;
        Ok(Self {
            client: Client::new(
                tls,
                match settings.is_replaceable {
                    true => Patience::SHORT,
                    false => Patience::LONG,
                },
            ),
            authorization: Authorization::new(address.clone(), settings.clone()),
            plain_http: settings.plain_http,
            may_be_plain: address.is_loopback() && settings.ca_file.is_none(),
            is_plain: Mutex::new(settings.plain_http),
            address,
        })
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the content with a digest, at most `max` bytes. `None` if the repository does not
    /// have it.
    pub(crate) async fn content(
        &self,
        kind: Kind,
        digest: &Digest,
        max: u64,
    ) -> Result<Option<Vec<u8>>, Refused> {
        match kind {
            Kind::Manifest => self.manifest(&digest.to_string(), max).await,
            Kind::Blob => self.blob(digest, max).await,
        }
    }

    /// Returns the length of the content with a digest, in bytes. `None` if the repository does not
    /// have it.
    pub(crate) async fn size(&self, kind: Kind, digest: &Digest) -> Result<Option<u64>, Refused> {
        let path = match kind {
            Kind::Manifest => format!("manifests/{digest}"),
            Kind::Blob => format!("blobs/{digest}"),
        };
        let answer = self.get(Method::HEAD, &path, accept(MANIFEST)).await?;
        let length = text(&answer.fields, CONTENT_LENGTH).and_then(|length| length.parse().ok());
        match answer.status {
            StatusCode::NOT_FOUND => Ok(self.done(answer, None).await),
            StatusCode::OK => {
                let length = length.ok_or_else(|| self.odd("an answer without a length"))?;
                Ok(self.done(answer, Some(length)).await)
            }
            _ => Err(self.bad(answer).await),
        }
    }

    /// Returns the manifest with this tag or digest, at most `max` bytes. `None` if the repository
    /// does not have it.
    pub(crate) async fn manifest(
        &self,
        reference: &str,
        max: u64,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let path = format!("manifests/{reference}");
        let answer = self.get(Method::GET, &path, accept(MANIFEST)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(self.done(answer, None).await),
            StatusCode::OK => self
                .body(answer, max.min(MANIFEST_BYTES_MAX))
                .await
                .map(Some),
            _ => Err(self.bad(answer).await),
        }
    }

    /// True if a tag has changed since the previous call, which stored `etag`. A missing tag has no
    /// ETag.
    pub(crate) async fn changed(
        &self,
        tag: &str,
        etag: &mut Option<String>,
    ) -> Result<bool, Refused> {
        let mut fields = accept(MANIFEST);
        if let Some(etag) = etag.as_deref().and_then(|etag| etag.parse().ok()) {
            fields.insert(IF_NONE_MATCH, etag);
        }
        let answer = self
            .get(Method::HEAD, &format!("manifests/{tag}"), fields)
            .await?;
        let digest = text(
            &answer.fields,
            HeaderName::from_static("docker-content-digest"),
        );
        let new = text(&answer.fields, ETAG).or(digest.map(|digest| format!("\"{digest}\"")));
        match answer.status {
            StatusCode::NOT_MODIFIED => Ok(self.done(answer, false).await),
            StatusCode::NOT_FOUND => {
                let was = etag.take();
                Ok(self.done(answer, was.is_some()).await)
            }
            StatusCode::OK => {
                // Without an ETag and a digest, each response counts as a change.
                let changed = new.is_none() || *etag != new;
                *etag = new;
                Ok(self.done(answer, changed).await)
            }
            _ => Err(self.bad(answer).await),
        }
    }

    /// Returns the blob with this digest. After an interruption, requests only the missing bytes.
    async fn blob(&self, digest: &Digest, max: u64) -> Result<Option<Vec<u8>>, Refused> {
        let path = format!("blobs/{digest}");
        let mut bytes: Vec<u8> = Vec::new();
        for attempt in 1.. {
            let mut fields = HeaderMap::new();
            if !bytes.is_empty() {
                let range = HeaderValue::try_from(format!("bytes={}-", bytes.len()));
                fields.insert(RANGE, range.map_err(|error| self.odd(&error.to_string()))?);
            }
            let answer = self.get(Method::GET, &path, fields).await?;
            match answer.status {
                StatusCode::NOT_FOUND => return Ok(self.done(answer, None).await),
                StatusCode::OK => bytes.clear(),
                StatusCode::PARTIAL_CONTENT if continues(&answer.fields, bytes.len()) => {}
                _ => return Err(self.bad(answer).await),
            }
            let left = max.saturating_sub(bytes.len() as u64);
            let Partial {
                bytes: more,
                failure,
            } = self.client.read_partial(answer, left).await;
            let has_progress = !more.is_empty();
            bytes.extend_from_slice(&more);
            match failure {
                None => return Ok(Some(bytes)),
                Some(Failure::Network(_)) if has_progress && attempt < RESUMES_MAX => {}
                Some(failure) => return Err(self.refused(&failure)),
            }
        }
        Ok(None)
    }

    /// All tags of the repository. Empty if the repository does not exist.
    pub(crate) async fn tags(&self) -> Result<Vec<String>, Refused> {
        let mut tags: Vec<String> = Vec::new();
        let mut path = format!("tags/list?n={PAGE}");
        let mut left = TAG_LIST_BYTES_MAX;
        for _ in 0..PAGES_MAX {
            let answer = self.get(Method::GET, &path, HeaderMap::new()).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(self.done(answer, tags).await),
                _ => return Err(self.bad(answer).await),
            }
            let more = answer.fields.contains_key(LINK);
            let limit = left.min(TAGS_BYTES_MAX);
            let bytes = match self.body(answer, limit).await {
                Err(Refused::TooLarge { .. }) if limit == left => {
                    return Err(self.odd("the list of tags is longer than 32 MiB"));
                }
                read => read?,
            };
            left -= bytes.len() as u64;
            let page = wire::tags(&bytes).map_err(|why| self.odd(why.0))?;
            let last = page.last().cloned().filter(|_| more);
            let advances = tags.last() != page.last();
            tags.extend(page);
            if tags.len() > TAGS_MAX {
                return Err(self.odd("the repository has too many tags"));
            }
            match last {
                Some(last) if advances => {
                    path = format!("tags/list?n={PAGE}&last={}", encode(&last));
                }
                _ => return Ok(tags),
            }
        }
        let why = format!("the list of tags has more than {PAGES_MAX} pages");
        Err(self.odd(&why))
    }

    /// Referrers of a manifest, as the registry lists them. `None` if the registry does not support
    /// the referrers API.
    pub(crate) async fn listed_referrers(
        &self,
        subject: &Digest,
    ) -> Result<Option<Vec<IndexEntry>>, Refused> {
        self.index(&format!("referrers/{subject}")).await
    }

    /// Entries of the index with this tag. `None` if the tag does not exist.
    pub(crate) async fn tagged_index(&self, tag: &str) -> Result<Option<Vec<IndexEntry>>, Refused> {
        self.index(&format!("manifests/{tag}")).await
    }

    async fn index(&self, path: &str) -> Result<Option<Vec<IndexEntry>>, Refused> {
        let answer = self.get(Method::GET, path, accept(INDEX)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(self.done(answer, None).await),
            StatusCode::OK => {
                let bytes = self.body(answer, INDEX_BYTES_MAX).await?;
                let entries = wire::index(&bytes).map_err(|why| self.odd(why.0))?;
                Ok(Some(entries))
            }
            _ => Err(self.bad(answer).await),
        }
    }

    /// Writes a manifest under a tag or its digest. `absent`: request that the registry writes only
    /// if the tag does not exist. Most registries ignore this condition.
    pub(crate) async fn put_manifest(
        &self,
        reference: &str,
        media_type: &'static str,
        bytes: &[u8],
        absent: bool,
    ) -> Result<Put, Refused> {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if absent {
            fields.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let body = Bytes::copy_from_slice(bytes);
        let path = format!("manifests/{reference}");
        let answer = self
            .send(Access::Write, Method::PUT, &path, fields, body)
            .await?;
        let listed = answer.fields.contains_key("oci-subject");
        match answer.status.as_u16() {
            412 if absent => Ok(self.done(answer, Put::Exists).await),
            200..=299 => Ok(self.done(answer, Put::Stored(listed)).await),
            _ => Err(self.bad(answer).await),
        }
    }

    /// Uploads a blob, unless the repository has it.
    pub(crate) async fn put_blob(&self, digest: &Digest, bytes: Bytes) -> Result<(), Refused> {
        if self.size(Kind::Blob, digest).await? == Some(bytes.len() as u64) {
            return Ok(());
        }
        let begin = "blobs/uploads/";
        let answer = self
            .send(
                Access::Write,
                Method::POST,
                begin,
                HeaderMap::new(),
                Bytes::new(),
            )
            .await?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(self.bad(answer).await);
        }
        let location = text(&answer.fields, LOCATION)
            .ok_or_else(|| self.odd("an upload without a Location"))?;
        let url = answer.url.join(&location);
        let url = url.and_then(|url| url.with(&format!("digest={}", encode(&digest.to_string()))));
        let url = url.map_err(|why| self.odd(why))?;
        self.client.finish(answer).await;
        let mut fields = HeaderMap::new();
        let kind = HeaderValue::from_static("application/octet-stream");
        fields.insert(CONTENT_TYPE, kind);
        let call = Call {
            method: Method::PUT,
            url,
            fields,
            body: bytes,
        };
        let answer = self.authorized(Access::Write, &call).await?;
        if !answer.status.is_success() {
            return Err(self.bad(answer).await);
        }
        self.client.finish(answer).await;
        Ok(())
    }

    async fn get(&self, method: Method, path: &str, fields: HeaderMap) -> Result<Answer, Refused> {
        self.send(Access::Read, method, path, fields, Bytes::new())
            .await
    }

    async fn send(
        &self,
        access: Access,
        method: Method,
        path: &str,
        fields: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Refused> {
        let call = Call {
            method,
            url: self.url(path)?,
            fields,
            body,
        };
        self.authorized(access, &call).await
    }

    /// Sends a request with the current authorization. After a challenge, sends it again with a new
    /// authorization.
    async fn authorized(&self, access: Access, call: &Call) -> Result<Answer, Refused> {
        let ours = call.url.origin == self.origin();
        let authorization = self.authorization.value(access).filter(|_| ours);
        let answer = match self.client.send(call, authorization.as_ref()).await {
            Err(Failure::NotTls) if self.may_be_plain && ours => {
                self.set_plain();
                let mut call = call.clone();
                call.url.origin = self.origin();
                return Box::pin(self.authorized(access, &call)).await;
            }
            result => result.map_err(|failure| self.refused(&failure))?,
        };
        if answer.status != StatusCode::UNAUTHORIZED || answer.url.origin != self.origin() {
            return Ok(answer);
        }
        let renewed = self
            .authorization
            .renew(&self.client, access, &call.url, &answer.fields)
            .await;
        self.client.finish(answer).await;
        renewed.map_err(|failure| self.refused(&failure))?;
        let authorization = self.authorization.value(access);
        let answer = self.client.send(call, authorization.as_ref()).await;
        answer.map_err(|failure| self.refused(&failure))
    }

    fn url(&self, path: &str) -> Result<Url, Refused> {
        let target = format!("/v2/{}/{path}", self.address.repository());
        self.origin().at(&target).map_err(|why| self.odd(why))
    }

    fn origin(&self) -> Origin {
        let plain = *self.is_plain.lock().unwrap_or_else(PoisonError::into_inner);
        let default = if plain { 80 } else { 443 };
        Origin {
            tls: !plain,
            host: self.address.host().to_owned(),
            port: self.address.port().unwrap_or(default),
        }
    }

    fn set_plain(&self) {
        *self.is_plain.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    async fn body(&self, answer: Answer, max: u64) -> Result<Vec<u8>, Refused> {
        let read = self.client.read(answer, max).await;
        read.map_err(|failure| self.refused(&failure))
    }

    async fn done<T>(&self, answer: Answer, value: T) -> T {
        self.client.finish(answer).await;
        value
    }

    /// Error for a response with an unexpected status.
    async fn bad(&self, answer: Answer) -> Refused {
        let status = answer.status;
        let read = self.client.read(answer, ERROR_BYTES_MAX).await;
        let detail = read.ok().and_then(|bytes| wire::error(&bytes));
        let why = match status.as_u16() {
            401 | 403 => "the registry refuses the credentials".to_owned(),
            404 => "the registry has no such repository".to_owned(),
            429 => "the registry refuses more requests for now".to_owned(),
            _ => format!("the registry answers {status}"),
        };
        self.odd(&match detail {
            Some(detail) => format!("{why} ({detail})"),
            None => why,
        })
    }

    fn refused(&self, failure: &Failure) -> Refused {
        match failure {
            Failure::TooLong(limit) => Refused::TooLarge {
                what: "answer of the registry",
                limit: *limit,
            },
            Failure::NotTls if !self.plain_http => self.odd(
                "the server does not use TLS; if that is intended, pass --registry-plain-http",
            ),
            failure => self.odd(&failure.to_string()),
        }
    }

    fn odd(&self, why: &str) -> Refused {
        unreachable(&self.address, why)
    }
}

/// Error for a registry that does not answer, or answers too late.
pub(crate) fn unreachable(address: &Address, why: &str) -> Refused {
    Refused::StoreUnreachable {
        why: format!("`{address}`: {why}"),
    }
}

fn accept(media_type: &'static str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert(ACCEPT, HeaderValue::from_static(media_type));
    fields
}

/// True if a partial response begins at the byte `at`.
fn continues(fields: &HeaderMap, at: usize) -> bool {
    let range = text(fields, CONTENT_RANGE);
    range.is_some_and(|range| range.starts_with(&format!("bytes {at}-")))
}
