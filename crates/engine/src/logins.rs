//! Logins of browsers: the paths that the gateway answers itself, and the redirect of a request
//! without a session.

use std::sync::Arc;

use http::Method;
use policy::auth::TokenVerifier;
use policy::auth::dpop::ClientUrl;
use policy::auth::oidc::{Login, Outcome, Reason, is_navigation};
use policy::{Cx, Filter, Reject, RequestHead};

use crate::key::Key;
use crate::router::{HostPattern, HostTable};

/// Path that the gateway answers itself, on the hosts of the APIs that use a login.
#[derive(Debug)]
pub(crate) struct OwnPath {
    host: HostPattern,
    path: Box<str>,
    kind: Kind,
    login: Arc<TokenVerifier>,
    guards: Vec<Guard>,
}

/// Policy filter that runs before the gateway answers a login path.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Digest of the policy's settings.
    pub(crate) content: Key,
    pub(crate) filter: Arc<Filter>,
}

/// Purpose of a path that the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Redirect URI: browsers return here with the provider's response.
    Redirect,
    /// Path that ends the session of a browser.
    Logout,
}

impl OwnPath {
    /// Paths of a login on `host`. `None`: the paths apply to every host that no mount names.
    /// `guards` are the filters that run before the gateway answers.
    pub(crate) fn of(
        login: &Arc<TokenVerifier>,
        host: Option<&str>,
        guards: &[Guard],
    ) -> Vec<Self> {
        let Some(settings) = login.login().map(Login::settings) else {
            return Vec::new();
        };
        let redirect = Some((settings.redirect_path(), Kind::Redirect));
        let logout = settings.logout_path().map(|path| (path, Kind::Logout));
        let paths = redirect.into_iter().chain(logout);
        let own = paths.map(|(path, kind)| Self {
            host: match host {
                None => HostPattern::Any,
                Some(host) if host.starts_with("*.") => HostPattern::Wildcard(host.to_owned()),
                Some(host) => HostPattern::Exact(host.to_owned()),
            },
            path: path.into(),
            kind,
            login: Arc::clone(login),
            guards: guards.to_vec(),
        });
        own.collect()
    }

    /// Removes the guards that `other` does not have. `other` is the same path for another API with
    /// the same login.
    pub(crate) fn share(&mut self, other: &Self) {
        let is_shared = |one: &Guard| other.guards.iter().any(|own| own.content == one.content);
        self.guards.retain(is_shared);
    }

    /// Filters that run before the gateway answers, in their order.
    pub(crate) fn guards(&self) -> &[Guard] {
        &self.guards
    }

    /// True if both paths are the same, on the same host and for the same login.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.host == other.host && self.path == other.path && Arc::ptr_eq(&self.login, &other.login)
    }

    /// Finds the entry of `all` with the path and the host pattern of a request. `None` if the
    /// gateway does not answer the request itself.
    pub(crate) fn find<'o>(
        all: &'o [Self],
        hosts: &HostTable,
        head: &RequestHead,
    ) -> Option<&'o Self> {
        let mut fitting = all.iter().filter(|own| *own.path == *head.path());
        let first = fitting.next()?;
        let host = hosts.pattern(&head.host)?;
        std::iter::once(first)
            .chain(fitting)
            .find(|own| own.host == host)
    }

    /// Answers a request for this path. `url` is the URL of the request as the browser sees it.
    ///
    /// # Errors
    /// Returns the allowed methods of the path if the request has another method.
    pub(crate) fn answer(
        &self,
        head: &RequestHead,
        url: Option<&ClientUrl>,
        cx: &mut Cx<'_>,
    ) -> Result<Outcome, &'static [Method]> {
        let methods: &'static [Method] = match self.kind {
            Kind::Redirect => &[Method::GET],
            Kind::Logout => &[Method::GET, Method::POST],
        };
        if !methods.contains(&head.method) {
            return Err(methods);
        }
        Ok(match (self.login.login(), url) {
            (Some(login), Some(url)) => match self.kind {
                Kind::Redirect => login.complete(head, &mut cx.login_context()),
                Kind::Logout => login.end(head, url, &mut cx.login_context()),
            },
            _ => Outcome::Fault(Reason::State),
        })
    }
}

/// Redirects a browser to the provider instead of refusing its request. `url` returns the URL of
/// the request as the browser sees it. `None` if there is no login, or if the request is not a
/// navigation of a browser.
pub(crate) fn redirect(
    login: Option<&Login>,
    reject: &'static Reject,
    (head, url): (&RequestHead, impl FnOnce(&Cx<'_>) -> Option<ClientUrl>),
    cx: &mut Cx<'_>,
) -> Option<Outcome> {
    let login = login.filter(|_| is_navigation(head))?;
    let url = url(cx)?;
    Some(login.begin(head, &url, reject, &mut cx.login_context()))
}
