//! Checks of a project as a whole: findings that need more than one API, or an API together with
//! gateway.yaml.

use diag::{NodeRef, Sink};

use super::Purpose;
use crate::contract::outgoing;
use crate::deprecations;
use crate::environment::Scope;
use crate::settings::Settings;
use crate::{
    Api, any_audience, costs, credential_names, ended_credentials, invariants, limits,
    merged_paths, open, outbound, preflights, processors, requested, routes, series,
};
use crate::{
    hidden_limits, logged, logged_fields, login_paths, mixed_identity, not_forwarded,
    read_before_set, removed_parameters, settings, verifiers,
};
use crate::{
    signing_keys, small_bodies, stripped_keys, unchecked_alternative, unknown_issuer, unvalidated,
    withheld_credentials,
};
use sources::project::files::Files;

/// Project whose APIs are resolved.
pub(super) struct Whole<'p> {
    pub(super) files: &'p Files,
    pub(super) settings: &'p Settings,
    pub(super) apis: &'p [Api],
    /// Root of gateway.yaml in the environment.
    pub(super) root: NodeRef<'p>,
    /// Environments whose gateway.yaml was read. Unused names are reported only if all environments
    /// were read.
    pub(super) scope: Scope,
}

impl Whole<'_> {
    /// Reports the findings. `all_read` is true if every document could be read. Unused names are
    /// reported only then.
    pub(super) fn check(&self, all_read: bool, purpose: Purpose, sink: &mut Sink) {
        let Self {
            files,
            settings,
            apis,
            root,
            scope,
        } = *self;
        if all_read {
            open::check_patterns(settings, apis, sink);
            deprecations::check(root, apis, sink);
            if scope == Scope::Every {
                settings.names.report_unused(sink);
            }
        }
        let verifiers = verifiers::all(settings, apis);
        settings::claims::check(root, &settings.consumers, verifiers, sink);
        routes::check(files, apis, sink);
        outbound::lint::check(settings, apis, sink);
        limits::check(files, settings, apis, sink);
        preflights::check(settings, apis, sink);
        processors::check(settings, apis, sink);
        requested::check(settings, apis, sink);
        merged_paths::check(settings, apis, sink);
        stripped_keys::check(files, settings, apis, sink);
        mixed_identity::check(settings, apis, sink);
        removed_parameters::check(settings, apis, sink);
        not_forwarded::check(files, apis, sink);
        logged::check(files, apis, sink);
        logged_fields::check(files, settings, apis, sink);
        unchecked_alternative::check(apis, sink);
        unknown_issuer::check(settings, apis, sink);
        unknown_issuer::check_any(settings, apis, sink);
        any_audience::check(settings, apis, sink);
        credential_names::check(apis, sink);
        withheld_credentials::check(settings, apis, sink);
        login_paths::check(settings, apis, sink);
        login_paths::check_conflicts(settings, apis, sink);
        read_before_set::check(files, settings, apis, sink);
        costs::check(files, settings, apis, sink);
        hidden_limits::check(settings, apis, sink);
        if !purpose.skips() {
            invariants::check(files, settings, apis, sink);
        }
        series::check(settings, apis, sink);
        signing_keys::check(files, settings.name.span, sink);
        ended_credentials::check(files, settings, sink);
        outgoing::check(files, apis, sink);
        // Contracts exist only for documents without errors.
        if all_read && !sink.has_errors() {
            unvalidated::check(files, settings, apis, sink);
            small_bodies::check(files, apis, sink);
        }
    }
}
