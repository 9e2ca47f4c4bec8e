//! Checks that the files of `deploy/` (units, image, manifests, packages, alerts and dashboard)
//! agree with the programs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::promql::Table;
use serde_json::Value;

/// Root folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Runs a command and returns its standard output. Panics if the command fails.
fn output(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?}\n{out}\n{errors}");
    out
}

/// Runs `gwd run --help` and returns the long options, without the leading hyphens.
fn options() -> BTreeSet<String> {
    let help = output(Command::new(e2e::binaries::gwd()).args(["run", "--help"]));
    let words = help.split_whitespace();
    let names = words.filter_map(|word| word.strip_prefix("--"));
    let name = |word: &str| word.split(['[', '=']).next().unwrap_or_default().to_owned();
    names.map(name).collect()
}

#[test]
fn configurations_have_only_options_of_gwd() {
    let known = options();
    assert!(known.contains("drain-timeout"), "{known:?}");
    for path in ["systemd", "container", "kubernetes"] {
        let path = format!("deploy/{path}/gwd.toml");
        let settings: toml::Table = text(&path).parse().unwrap();
        for key in settings.keys() {
            assert!(known.contains(key), "{path}: {key}");
        }
    }
    // Environment variables of containers also set options.
    for path in [
        "compose/compose.yaml",
        "container/Dockerfile",
        "kubernetes/statefulset.yaml",
        "kubernetes-registry/statefulset.yaml",
    ] {
        let text = text(&format!("deploy/{path}"));
        let is_part = |c: char| c.is_ascii_uppercase() || c == '_';
        for (at, _) in text.match_indices("GWD_") {
            let rest = &text[at + "GWD_".len()..];
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let option = rest[..end].to_ascii_lowercase().replace('_', "-");
            assert!(known.contains(&option), "{path}: GWD_{}", &rest[..end]);
        }
    }
}

#[test]
fn systemd_accepts_the_units() {
    if !prerequisite::program("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gwd = e2e::binaries::gwd().to_str().unwrap().to_owned();
    for name in ["gwd.service", "gwd.socket"] {
        let unit = text(&format!("deploy/systemd/{name}")).replace("/usr/bin/gwd", &gwd);
        std::fs::write(folder.path().join(name), unit).unwrap();
        let mut verify = Command::new("systemd-analyze");
        verify.args(["verify", "--man=no"]);
        output(verify.arg(folder.path().join(name)));
    }
    // `systemd-analyze security` gives an unconfined service the score 10.
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--threshold=20"]);
    output(security.arg(folder.path().join("gwd.service")));
}

#[test]
fn drain_ends_before_the_process_is_killed() {
    let settings: toml::Table = text("deploy/kubernetes/gwd.toml").parse().unwrap();
    let seconds = |key: &str| {
        let text = settings[key].as_str().unwrap();
        text.strip_suffix('s').unwrap().parse::<u64>().unwrap()
    };
    // gwd ends at the latest 5 s after the sum of `--pre-stop` and `--drain-timeout`.
    let ends = seconds("pre-stop") + seconds("drain-timeout") + 5;
    let pod = &yaml("deploy/kubernetes/statefulset.yaml")["spec"]["template"]["spec"];
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= ends);
    let unit = text("deploy/systemd/gwd.service");
    let stop = unit
        .lines()
        .find_map(|line| line.strip_prefix("TimeoutStopSec="));
    assert!(stop.unwrap().parse::<u64>().unwrap() > ends);
    let compose = text("deploy/compose/compose.yaml");
    assert!(compose.contains("stop_grace_period: 35s"));
}

#[test]
fn pods_are_confined_and_probed() {
    let set = yaml("deploy/kubernetes/statefulset.yaml");
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let confined = &container["securityContext"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(confined["readOnlyRootFilesystem"], true);
    assert_eq!(confined["allowPrivilegeEscalation"], false);
    assert_eq!(confined["capabilities"]["drop"][0], "ALL");
    assert_eq!(pod["automountServiceAccountToken"], false);
    for (probe, path) in [
        ("readinessProbe", "/readyz"),
        ("livenessProbe", "/livez"),
        ("startupProbe", "/readyz"),
    ] {
        assert_eq!(container[probe]["httpGet"]["path"], path);
        assert_eq!(container[probe]["httpGet"]["port"], "admin");
    }
    // Each mount must have a volume of the same name.
    let names = |list: &Value| -> BTreeSet<String> {
        let items = list.as_array().unwrap().iter();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut volumes = names(&pod["volumes"]);
    let claim = &set["spec"]["volumeClaimTemplates"][0]["metadata"]["name"];
    volumes.insert(claim.as_str().unwrap().to_owned());
    assert_eq!(names(&container["volumeMounts"]), volumes);
    // `kustomization.yaml` must list each manifest.
    let listed = yaml("deploy/kubernetes/kustomization.yaml")["resources"].clone();
    let listed: BTreeSet<String> = serde_json::from_value(listed).unwrap();
    let folder = std::fs::read_dir(root().join("deploy/kubernetes")).unwrap();
    let files = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = files.filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml");
    assert_eq!(files.collect::<BTreeSet<_>>(), listed);
    for path in ["networkpolicy", "poddisruptionbudget"] {
        let spec = &yaml(&format!("deploy/kubernetes/{path}.yaml"))["spec"];
        let selector = [&spec["podSelector"], &spec["selector"]];
        let labels = selector
            .iter()
            .map(|one| &one["matchLabels"]["app.kubernetes.io/name"]);
        assert!(labels.into_iter().any(|label| label == "gwd"), "{path}");
    }
}

/// Resources of a folder, as `kubectl kustomize` writes them.
fn resources(folder: &str) -> Vec<Value> {
    let folder = root().join("deploy").join(folder);
    let text = output(Command::new("kubectl").arg("kustomize").arg(folder));
    text.split("\n---\n")
        .map(|one| serde_yaml_ng::from_str(one).expect("YAML"))
        .collect()
}

#[test]
fn registry_replaces_the_volume_of_the_store() {
    if !prerequisite::program("kubectl") {
        return;
    }
    for (folder, claims, store) in [
        ("kubernetes", 1, None),
        (
            "kubernetes-registry",
            0,
            Some("oci://registry.example/shop/releases"),
        ),
    ] {
        let resources = resources(folder);
        let of_kind = |kind: &str| resources.iter().filter(|one| one["kind"] == kind).count();
        assert_eq!(of_kind("PersistentVolumeClaim"), claims, "{folder}");
        assert_eq!(of_kind("NetworkPolicy"), 1, "{folder}");
        let set = resources.iter().find(|one| one["kind"] == "StatefulSet");
        let pod = &set.expect("a StatefulSet")["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let variables = container["env"].as_array().expect("a list");
        let variable = variables.iter().find(|one| one["name"] == "GWD_STORE");
        let set = variable.map(|one| one["value"].as_str().expect("text"));
        assert_eq!(set, store, "{folder}");
        let mounts = container["volumeMounts"].as_array().expect("a list");
        let is_mounted = mounts.iter().any(|one| one["mountPath"] == "/store");
        assert_eq!(is_mounted, store.is_none(), "{folder}");
        let volumes = pod["volumes"].as_array().expect("a list");
        for mount in mounts.iter().filter(|one| one["name"] != "state") {
            let has_volume = volumes.iter().any(|one| one["name"] == mount["name"]);
            assert!(has_volume, "{folder}: {mount}");
        }
    }
}

#[test]
fn compose_starts_what_its_comment_names() {
    let compose = yaml("deploy/compose/compose.yaml");
    let services = compose["services"].as_object().expect("services");
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    let expected = [
        "gwd-a",
        "gwd-b",
        "registry",
        "redis",
        "prometheus",
        "grafana",
    ];
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>(),
        expected.iter().collect::<BTreeSet<_>>()
    );
    // Ports are published at loopback addresses only.
    for (name, service) in services {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().expect("text").starts_with("127.0.0.1:"),
                "{name}: {port}"
            );
        }
    }
}

/// A gateway starts with the environment of the Compose file, where the store is a folder.
#[test]
fn gateway_starts_with_the_environment_of_compose() {
    let compose = yaml("deploy/compose/compose.yaml");
    let environment = compose["x-gwd"]["environment"].as_object().expect("a map");
    let gateway = "version: 1\nname: shop\napis: {a: {path: openapi.yaml}}\n\
                   upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9\"}}}}\n\
                   defaults: {upstream: u, security: enforce}\n";
    let document = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\n\
                    paths: {/x: {get: {operationId: x, x-gateway: {public: true}, responses: {}}}}\n";
    let project = Project::with(gateway, document);
    project.keygen();
    project.apply();
    let mut options = Options::of(&project);
    // The test has its own values of these.
    let own = [
        "GWD_ADMIN",
        "GWD_STORE",
        "GWD_ADMIN_TOKEN_FILE",
        "GWD_LISTEN",
    ];
    for (name, value) in environment {
        let value = value.as_str().expect("a text");
        let default = value.split_once(":-").map_or(value, |(_, rest)| rest);
        if !own.contains(&name.as_str()) {
            options = options.variable(name, default.trim_end_matches('}'));
        }
    }
    options.start().stops_clean();
}

#[test]
fn image_has_its_sources_and_no_privileges() {
    let file = text("deploy/container/Dockerfile");
    assert!(file.contains("\nUSER 65532:65532\n"));
    assert!(file.contains("\nENTRYPOINT [\"/usr/bin/gwd\"]\n"));
    let ignored = text("deploy/container/Dockerfile.dockerignore");
    let allowed = |path: &str| ignored.lines().any(|line| line == format!("!{path}"));
    let workspace: toml::Table = text("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap().iter();
    for member in members.map(|member| member.as_str().unwrap()) {
        let is_allowed = allowed(member) || allowed(member.split('/').next().unwrap());
        assert!(
            is_allowed || allowed(&format!("{member}/Cargo.toml")),
            "{member}"
        );
    }
    // `make dist` also builds gwc, which contains a script of `deploy/github`.
    for path in [
        "Cargo.lock",
        "rust-toolchain.toml",
        "Makefile",
        "bench",
        "deploy/container/gwd.toml",
        "deploy/github",
    ] {
        assert!(allowed(path), "{path}");
    }
    // The base image contains the C library and libgcc, and nothing else that gwd needs.
    if !prerequisite::program("ldd") {
        return;
    }
    let libraries = output(Command::new("ldd").arg(e2e::binaries::gwd()));
    for line in libraries.lines() {
        let known = [
            "linux-vdso",
            "libgcc_s.so.1",
            "libm.so.6",
            "libc.so.6",
            "ld-linux",
        ];
        assert!(known.iter().any(|name| line.contains(name)), "{line}");
    }
}

#[test]
fn debian_packages_are_reproducible_and_run() {
    if !prerequisite::program("dpkg-deb") || !prerequisite::program("objdump") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bin = e2e::binaries::gwd().parent().unwrap();
    let build = |out: &Path| -> Vec<PathBuf> {
        let mut command = Command::new(root().join("deploy/debian/build"));
        command
            .args([bin, out])
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .env("DPKG_DEB_COMPRESSOR_TYPE", "none");
        output(&mut command).lines().map(PathBuf::from).collect()
    };
    let first = build(&folder.path().join("a"));
    let second = build(&folder.path().join("b"));
    assert_eq!((first.len(), second.len()), (2, 2));
    for (one, other) in first.iter().zip(&second) {
        let [one, other] = [one, other].map(|path| std::fs::read(path).unwrap());
        assert!(one == other, "the packages differ");
    }
    for (package, name) in first.iter().zip(["gwc", "gwd"]) {
        let to = folder.path().join(name);
        output(Command::new("dpkg-deb").arg("-x").args([package, &to]));
        let version = output(Command::new(to.join("usr/bin").join(name)).arg("--version"));
        assert!(version.starts_with(name), "{version}");
        assert!(to.join(format!("usr/share/man/man1/{name}.1.gz")).is_file());
        let completion = format!("usr/share/bash-completion/completions/{name}");
        assert!(to.join(completion).is_file());
    }
    let gwd = folder.path().join("gwd");
    assert!(gwd.join("lib/systemd/system/gwd.service").is_file());
    let fields = output(Command::new("dpkg-deb").arg("-f").arg(&first[1]));
    assert!(fields.contains("Depends: libc6 (>= 2."), "{fields}");
    let kept = output(
        Command::new("dpkg-deb")
            .args(["-I"])
            .arg(&first[1])
            .arg("conffiles"),
    );
    assert_eq!(kept, "/etc/gwd/gwd.toml\n");
}

#[test]
fn release_archives_are_reproducible_and_run() {
    if !prerequisite::program("strip") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in [e2e::binaries::gwc(), e2e::binaries::gwd()] {
        let to = bin.join(program.file_name().unwrap());
        output(
            Command::new("strip")
                .arg("-o")
                .args([&to, &program.to_path_buf()]),
        );
    }
    let build = |out: &str| -> PathBuf {
        let mut command = Command::new(root().join("deploy/archive"));
        command
            .args([&bin, &folder.path().join(out)])
            .arg("x86_64-unknown-linux-gnu")
            .env("SOURCE_DATE_EPOCH", "1700000000");
        output(&mut command).trim().into()
    };
    let (first, second) = (build("a"), build("b"));
    let [one, other] = [&first, &second].map(|path| std::fs::read(path).unwrap());
    assert!(one == other, "the archives differ");
    output(
        Command::new("tar")
            .arg("-C")
            .args([folder.path(), Path::new("-xzf"), &first]),
    );
    let name = first.file_name().unwrap().to_string_lossy().into_owned();
    let inside = folder.path().join(name.trim_end_matches(".tar.gz"));
    for program in ["gwc", "gwd"] {
        let version = output(Command::new(inside.join(program)).arg("--version"));
        assert!(version.starts_with(program), "{version}");
        assert!(inside.join(format!("man1/{program}.1")).is_file());
        for shell in ["bash", "zsh", "fish"] {
            let file = inside.join(format!("completions/{program}.{shell}"));
            assert!(file.metadata().unwrap().len() > 1_000, "{}", file.display());
        }
    }
    for file in ["README.md", "CHANGELOG.md", "LICENSE"] {
        assert!(inside.join(file).is_file(), "{file}");
    }
}

/// The workflow builds gwd with a profile, and the archives with the script that the test above
/// runs.
#[test]
fn release_workflow_builds_with_a_profile() {
    let workflow = yaml(".github/workflows/release.yml");
    let steps = workflow["jobs"]["build"]["steps"].as_array().unwrap();
    let commands: Vec<&str> = steps
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    let at = |text: &str| {
        let found = commands
            .iter()
            .position(|command| command.starts_with(text));
        found.unwrap_or_else(|| panic!("no step `{text}`"))
    };
    let order = [
        "rustup component add llvm-tools",
        "make dist",
        "deploy/archive target/bin-dist out",
    ];
    assert!(order.map(at).is_sorted(), "{commands:?}");
}

/// Expressions of the dashboard, with Grafana's variables replaced.
fn panels() -> Vec<String> {
    let dashboard = dashboard();
    let all = targets(&dashboard).map(|target| target["expr"].as_str().unwrap().to_owned());
    all.map(|text| without_variables(&text)).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("deploy/grafana/gwd.json")).unwrap()
}

/// Queries of all panels.
fn targets(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array());
    targets.flatten()
}

fn without_variables(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "5m")
        .replace(['$'], "")
}

/// Labels in a template: `{{label}}` of Grafana, `{{ $labels.label }}` of Prometheus.
fn labels_in(template: &str) -> BTreeSet<String> {
    let parts = template.split("{{").skip(1);
    let parts = parts.filter_map(|part| Some(part.split_once("}}")?.0.trim()));
    let labels = parts.filter_map(|part| match part.strip_prefix('$') {
        None => Some(part.to_owned()),
        Some(value) => {
            let label = value.strip_prefix("labels.")?;
            Some(label.split([' ', '|']).next()?.to_owned())
        }
    });
    labels.collect()
}

/// Expressions of the alerts and recorded rates.
fn rules() -> Vec<Value> {
    let groups = yaml("deploy/prometheus/rules.yaml")["groups"].clone();
    let groups = groups.as_array().unwrap().iter();
    groups
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// `docs/metrics.md` is the table with which gwd registers its metrics.
#[test]
fn alerts_and_dashboard_use_metrics_of_gwd() {
    let mut table = Table::of_page(&text("docs/metrics.md"));
    let rules = rules();
    for rule in rules.iter().filter(|rule| rule["record"].is_string()) {
        let (name, expression) = (&rule["record"], rule["expr"].as_str().unwrap());
        let labels = table
            .labels(expression)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        table.record(name.as_str().unwrap(), labels);
    }
    let check = |name: &Value, expression: &Value, templates: &[&Value]| {
        let expression = without_variables(expression.as_str().unwrap());
        let labels = table.labels(&expression);
        let labels = labels.unwrap_or_else(|error| panic!("{name}: {error} in {expression}"));
        for template in templates.iter().filter_map(|template| template.as_str()) {
            let used = labels_in(template);
            assert!(
                used.is_subset(&labels),
                "{name}: {template} has not all of {used:?}"
            );
        }
    };
    let mut count = 0;
    for alert in rules.iter().filter(|rule| rule["alert"].is_string()) {
        let summary = &alert["annotations"]["summary"];
        check(&alert["alert"], &alert["expr"], &[summary]);
        count += 1;
    }
    let dashboard = dashboard();
    for target in targets(&dashboard) {
        check(&target["expr"], &target["expr"], &[&target["legendFormat"]]);
        count += 1;
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        check(
            &annotation["name"],
            &annotation["expr"],
            &[&annotation["textFormat"]],
        );
        count += 1;
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let query = variable["query"].as_str().unwrap();
        let Some(query) = query.strip_prefix("label_values(") else {
            continue;
        };
        let (series, label) = query.trim_end_matches(')').split_once(", ").unwrap();
        let labels = table
            .labels(series)
            .unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(labels.contains(label), "{query}: no label `{label}`");
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn alerts_fire_as_their_tests_say() {
    if !prerequisite::program("promtool") {
        return;
    }
    let folder = root().join("deploy/prometheus");
    for arguments in [
        ["check", "rules", "rules.yaml"],
        ["test", "rules", "rules_test.yaml"],
    ] {
        output(
            Command::new("promtool")
                .args(arguments)
                .current_dir(&folder),
        );
    }
    // The dashboard's expressions are valid PromQL: use each one in a recording rule.
    let lines = panels().into_iter().map(|expression| {
        let expression = expression.replace('\'', "''");
        format!("  - {{record: panel, expr: '{expression}', labels: {{n: \"1\"}}}}\n")
    });
    let mut file = String::from("groups:\n- name: panels\n  rules:\n");
    let mut seen = BTreeSet::new();
    for (number, line) in lines.enumerate() {
        if seen.insert(line.clone()) {
            file += &line.replace("n: \"1\"", &format!("n: \"{number}\""));
        }
    }
    let rules = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(rules.path(), file).unwrap();
    output(
        Command::new("promtool")
            .args(["check", "rules"])
            .arg(rules.path()),
    );
}

#[test]
fn each_alert_has_a_test_and_a_runbook() {
    let runbook = text("docs/alerts.md");
    let tests = yaml("deploy/prometheus/rules_test.yaml");
    let tests: BTreeSet<&str> = tests["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|test| test["name"].as_str().unwrap())
        .collect();
    let mut count = 0;
    for rule in rules() {
        let Some(name) = rule["alert"].as_str() else {
            continue;
        };
        count += 1;
        let link = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(
            link,
            format!("docs/alerts.md#{}", name.to_ascii_lowercase())
        );
        let severity = rule["labels"]["severity"].as_str().unwrap();
        let word = match severity {
            "page" => "Page.",
            _ => "Ticket.",
        };
        assert!(runbook.contains(&format!("\n## {name}\n{word}")), "{name}");
        for result in ["fires", "is quiet"] {
            assert!(
                tests.contains(format!("{name} {result}").as_str()),
                "{name} {result}"
            );
        }
    }
    assert_eq!(runbook.matches("\n## ").count(), count);
}
