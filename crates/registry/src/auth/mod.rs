//! Authentication at a registry: Basic, or a token of a token endpoint (*Docker Registry v2
//! authentication*).
//!
//! Requests begin without credentials. After a challenge (401), the configured credentials are read
//! and sent to the registry, or to the token endpoint in the challenge. The token endpoint must use
//! HTTPS, unless the registry itself is used without TLS.

pub mod challenge;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::http::{Call, Client, Failure};
use crate::settings::{Credentials, Settings};
use crate::url::{Url, encode};
use crate::wire::{self, TOKEN_BYTES_MAX};
use challenge::Challenge;

/// Access that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Current authorization of the requests to one repository.
pub(crate) struct Authorization {
    address: Address,
    settings: Settings,
    /// Values of the field `Authorization` for reading and for writing.
    current: Mutex<[Option<HeaderValue>; 2]>,
}

impl Authorization {
    pub(crate) fn new(address: Address, settings: Settings) -> Self {
        Self {
            address,
            settings,
            current: Mutex::default(),
        }
    }

    /// Value of the field `Authorization`. `None` until the registry requests authentication.
    pub(crate) fn value(&self, access: Access) -> Option<HeaderValue> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current[access as usize].clone()
    }

    /// Obtains a new value of the field `Authorization` after a challenge of the registry.
    ///
    /// # Errors
    /// [`Failure`] if the registry requires another kind of credential, or if the token endpoint
    /// refuses the credentials.
    pub(crate) async fn renew(
        &self,
        client: &Client,
        access: Access,
        url: &Url,
        fields: &HeaderMap,
    ) -> Result<(), Failure> {
        let challenges: Vec<Challenge> = fields
            .get_all(WWW_AUTHENTICATE)
            .into_iter()
            .flat_map(|value| challenge::read(value.as_bytes()))
            .collect();
        let credentials = self.settings.credentials(&self.address);
        let credentials = credentials.map_err(Failure::Answer)?;
        let bearer = challenges.iter().find_map(|challenge| match challenge {
            Challenge::Bearer { realm, service } => Some((realm, service)),
            Challenge::Basic => None,
        });
        let value = match (bearer, credentials) {
            (_, Credentials::Token(token)) => field("Bearer", &token)?,
            (Some((realm, service)), credentials) => {
                let scope = match access {
                    Access::Read => "pull",
                    Access::Write => "pull,push",
                };
                let scope = format!("repository:{}:{scope}", self.address.repository());
                let realm = Url::parse(realm)
                    .map_err(|why| Failure::Answer(format!("the token endpoint: {why}")))?;
                if url.origin.tls && !realm.origin.tls {
                    let why = "the token endpoint does not use https".to_owned();
                    return Err(Failure::Answer(why));
                }
                let call = request(&realm, service.as_deref(), &scope, &credentials)?;
                let token = ask(client, &call, &credentials).await?;
                field("Bearer", &token.0)?
            }
            (None, Credentials::Password(user, password)) if !challenges.is_empty() => {
                basic(&user, &password)?
            }
            (None, Credentials::Absent) => {
                return Err(Failure::Answer(format!(
                    "the registry needs credentials, and the configuration of docker has none for `{}`",
                    self.address.authority()
                )));
            }
            (None, _) => {
                let why = "the registry requires an unknown kind of credentials".to_owned();
                return Err(Failure::Answer(why));
            }
        };
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current[access as usize] = Some(value);
        Ok(())
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

fn request(
    realm: &Url,
    service: Option<&str>,
    scope: &str,
    credentials: &Credentials,
) -> Result<Call, Failure> {
    let mut parameters = format!("scope={}", encode(scope));
    if let Some(service) = service {
        parameters.push_str(&format!("&service={}", encode(service)));
    }
    let wrong = |why: &str| Failure::Answer(format!("the token endpoint: {why}"));
    let mut fields = HeaderMap::new();
    match credentials {
        // OAuth 2: exchange the identity token for an access token of the scope.
        Credentials::Identity(identity) => {
            let body = Zeroizing::new(format!(
                "grant_type=refresh_token&client_id=gwc&refresh_token={}&{parameters}",
                encode(identity)
            ));
            let form = HeaderValue::from_static("application/x-www-form-urlencoded");
            fields.insert(CONTENT_TYPE, form);
            Ok(Call {
                method: Method::POST,
                url: realm.clone(),
                fields,
                body: Bytes::copy_from_slice(body.as_bytes()),
            })
        }
        _ => Ok(Call {
            method: Method::GET,
            url: realm.with(&parameters).map_err(wrong)?,
            fields,
            body: Bytes::new(),
        }),
    }
}

async fn ask(
    client: &Client,
    call: &Call,
    credentials: &Credentials,
) -> Result<wire::Token, Failure> {
    let authorization = match credentials {
        Credentials::Password(user, password) => Some(basic(user, password)?),
        _ => None,
    };
    let answer = client.send(call, authorization.as_ref()).await?;
    let status = answer.status;
    if !status.is_success() {
        client.finish(answer).await;
        return Err(Failure::Answer(match status.as_u16() {
            401 | 403 => "the token endpoint refuses the credentials".to_owned(),
            _ => format!("the token endpoint answers {status}"),
        }));
    }
    let bytes = Zeroizing::new(client.read(answer, TOKEN_BYTES_MAX).await?);
    wire::token(&bytes).map_err(|why| Failure::Answer(format!("the token endpoint: {}", why.0)))
}

fn basic(user: &str, password: &str) -> Result<HeaderValue, Failure> {
    let pair = Zeroizing::new(format!("{user}:{password}"));
    field("Basic", &Zeroizing::new(STANDARD.encode(pair.as_bytes())))
}

/// Creates a value of the field `Authorization`. Debug output does not show it.
fn field(scheme: &str, value: &str) -> Result<HeaderValue, Failure> {
    let text = Zeroizing::new(format!("{scheme} {value}"));
    let mut value = HeaderValue::try_from(text.as_str())
        .map_err(|_| Failure::Answer("the credentials have invalid characters".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
