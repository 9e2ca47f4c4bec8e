//! Operations at a path that the gateway answers itself for a login (`redirect_path`,
//! `logout_path` of `kind: oidc`).

use bundle::ir;
use diag::{Diagnostic, Sink};
use policy::auth::Checked;
use vocab::lints::LOGIN_PATH_OWNED;

use super::{Api, Settings, verifiers};

/// Reports each operation that no request can reach, because a login answers its path.
pub(super) fn check(settings: &Settings, apis: &[Api], sink: &mut Sink) {
    for verifier in verifiers::all(settings, apis) {
        let Checked::Oidc(login) = &verifier.value.checked else {
            continue;
        };
        let named = ir::Verify::Auth(verifier.value.name.clone());
        let uses = |api: &&Api| api.schemes.iter().any(|scheme| scheme.verify == named);
        let mounts = apis.iter().filter(uses).flat_map(|api| &api.mounts);
        let mounts: Vec<&ir::Mount> = mounts.map(|mount| &mount.value).collect();
        let paths = [Some(login.redirect_path()), login.logout_path()];
        for api in apis {
            let own = api.mounts.iter().map(|mount| &mount.value);
            let own: Vec<&ir::Mount> = own
                .filter(|own| mounts.iter().any(|mount| meet(own, mount)))
                .collect();
            let operations = api
                .operations
                .iter()
                .filter(|operation| !operation.internal);
            for operation in operations {
                let is_owned = own.iter().any(|mount| {
                    let path = format!("{}{}", mount.base_path, operation.template);
                    paths.iter().flatten().any(|login| **login == *path)
                });
                if is_owned {
                    let name = verifier.value.name.escape_debug();
                    let message =
                        format!("the gateway answers this path itself, for the login `{name}`");
                    sink.push(
                        Diagnostic::new(&LOGIN_PATH_OWNED, operation.path_span, message)
                            .related(verifier.span, format!("`{name}` is defined here"))
                            .help("write another `redirect_path` or `logout_path` there"),
                    );
                }
            }
        }
    }
}

/// True if two mounts share a listener, and either share a host or both have no hosts.
fn meet(one: &ir::Mount, other: &ir::Mount) -> bool {
    let is_shared = one
        .listeners
        .iter()
        .any(|name| other.listeners.contains(name));
    let is_named = one.hosts.iter().any(|host| other.hosts.contains(host));
    is_shared && (is_named || one.hosts.is_empty() && other.hosts.is_empty())
}
