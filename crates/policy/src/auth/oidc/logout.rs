//! Logout (OpenID Connect RP-Initiated Logout 1.0): the session ends at the gateway first, then at
//! the provider.

use http::header::{HeaderName, ORIGIN, REFERER};

use super::login::{LoginContext, Outcome, fields};
use super::provider::Metadata;
use super::{Login, Reason, Session, reply};
use crate::auth::dpop::ClientUrl;
use crate::head::RequestHead;

/// Maximum length of an ID token in the URL of the provider's logout, in bytes.
const HINT_BYTES_MAX: usize = 4_096;

impl Login {
    /// Ends the session of a browser. `url` is the URL of the request as the browser sees it. The
    /// cookies are removed also if the provider is unavailable.
    pub fn end(
        &self,
        head: &RequestHead,
        url: &ClientUrl,
        context: &mut LoginContext<'_>,
    ) -> Outcome {
        if is_foreign(head, url) {
            return Outcome::Fault(Reason::CrossSite);
        }
        let prefix = url.path.strip_suffix(head.path()).unwrap_or_default();
        let after = self.settings.after_logout.as_ref();
        let after = after.map(|path| format!("{prefix}{path}"));
        let session = self.session(&head.headers);
        let at_provider = match &session {
            None => None,
            Some(session) => match self.metadata(context) {
                Ok(set) => Metadata::of(&set).and_then(|metadata| {
                    let back = after.as_ref().map(|path| format!("{}{path}", url.origin()));
                    self.provider_logout(metadata.end_session.as_deref()?, session, back.as_deref())
                }),
                Err(Outcome::Ask(effect)) => return Outcome::Ask(effect),
                Err(_) => None,
            },
        };
        context.cookies.extend(self.removed(&head.headers));
        if let Some(session) = session {
            let ends_s = session.began_s + self.settings.lifetime_s();
            let user = self.user(&session);
            // If the table of ended sessions is full, the session ends only in the browser.
            let _ = context
                .ended
                .remember(session.id, &user, context.unix_s, ends_s);
        }
        let location = at_provider.or(after);
        let reply = location.and_then(|location| reply::redirect(&location, None));
        Outcome::Reply(reply.unwrap_or_else(|| reply::text("You are logged out.\n")))
    }

    /// Bytes that identify the user of a session. The table of ended sessions limits the entries of
    /// each user, so that repeated logins and logouts of one user cannot fill the table.
    pub(super) fn user(&self, session: &Session) -> Box<[u8]> {
        let identity = self
            .id_tokens
            .identity_of(session.id_token.as_bytes(), u64::MAX);
        let key = identity.ok().and_then(|identity| identity.key);
        key.unwrap_or_else(|| session.id.into())
    }

    /// URL of the provider's logout (RP-Initiated Logout §2).
    fn provider_logout(
        &self,
        endpoint: &str,
        session: &Session,
        back: Option<&str>,
    ) -> Option<String> {
        let mut parameters = vec![("client_id", self.settings.client_id.as_str())];
        if session.id_token.len() <= HINT_BYTES_MAX {
            parameters.push(("id_token_hint", &session.id_token));
        }
        if let Some(back) = back {
            parameters.push(("post_logout_redirect_uri", back));
        }
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Some(format!("{endpoint}{separator}{}", fields(&parameters)))
    }
}

/// True if a page of another site sent the request. `Sec-Fetch-Site` decides; if it is absent,
/// `Origin`, and if both are absent, `Referer`.
fn is_foreign(head: &RequestHead, url: &ClientUrl) -> bool {
    static SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let text = |name: &HeaderName| {
        let value = head.headers.get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    let is_own = |page: &str| {
        let own = url.origin();
        page == own
            || page
                .strip_prefix(&own)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    match (text(&SITE), text(&ORIGIN), text(&REFERER)) {
        (Some(site), _, _) => !matches!(site, "same-origin" | "none"),
        (None, Some(page), _) | (None, None, Some(page)) => !is_own(page),
        (None, None, None) => false,
    }
}
