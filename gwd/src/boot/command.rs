//! Dispatch of the commands, and the texts of their results.

use std::path::Path;

use clap::CommandFactory as _;
use serde_json::{Value, json};

use super::client_options::ClientOptions;
use super::exit::Exit;
use super::options::{CheckOptions, Cli, Command};
use super::output::{fail, print, refused, write, wrong_options};
use super::values::Format;
use super::{comparison, run, tail};

pub(super) fn dispatch(cli: Cli) -> Exit {
    match cli.command {
        Command::Run(options) => match options.resolve() {
            Ok(resolved) => run::run(&options, &resolved),
            Err(error) => wrong_options(&error, Format::Human),
        },
        Command::Check(options) => {
            let CheckOptions { options, format } = options;
            match options.resolve() {
                Ok(resolved) => match run::check(&resolved) {
                    Ok(checked) => print(&checked, format, check_text),
                    Err((exit, why)) => fail(exit, "check-failed", &why, format),
                },
                Err(error) => wrong_options(&error, format),
            }
        }
        Command::Tail(options) => tail::tail(&options),
        Command::Status(client) => ask(&client, "GET", "/v1/status", None, status_text),
        Command::Versions(client) => ask(&client, "GET", "/v1/bundles", None, versions_text),
        Command::Rollback {
            to,
            sticky,
            reason,
            client,
        } => {
            let body = json!({"bundle": to, "sticky": sticky, "reason": reason});
            ask(&client, "POST", "/v1/rollback", Some(&body), status_text)
        }
        Command::Activate {
            id,
            sticky,
            reason,
            client,
        } => {
            let body = json!({"bundle": id, "sticky": sticky, "reason": reason});
            ask(&client, "POST", "/v1/activate", Some(&body), status_text)
        }
        Command::Validation {
            mode,
            reason,
            client,
        } => {
            let body = json!({"mode": mode, "reason": reason});
            ask(&client, "PUT", "/v1/validation", Some(&body), status_text)
        }
        Command::Resume(client) => ask(&client, "POST", "/v1/resume", None, status_text),
        Command::Drain(client) => ask(&client, "POST", "/v1/drain", None, |_| {
            "draining\n".to_owned()
        }),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "gwd", &mut script);
            write(&String::from_utf8_lossy(&script));
            Exit::Done
        }
        Command::Man { command, folder } => match folder {
            None => man(command.as_deref()),
            Some(folder) => man_folder(&folder),
        },
    }
}

/// The program with its commands, for manual pages.
fn program() -> clap::Command {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    program
}

/// Writes the manual pages of the program and of its commands into a folder.
fn man_folder(folder: &Path) -> Exit {
    let program = program();
    let write_page = |command: &clap::Command| {
        let page = clap_mangen::Man::new(command.clone());
        let mut text = Vec::new();
        page.render(&mut text)?;
        std::fs::write(folder.join(page.get_filename()), text)
    };
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        write_page(&program)?;
        program.get_subcommands().try_for_each(write_page)
    });
    match written {
        Ok(()) => Exit::Done,
        Err(error) => {
            let why = format!("cannot write into `{}`: {error}", folder.display());
            fail(Exit::Input, "unwritable", &why, Format::Human)
        }
    }
}

/// Prints the manual page of a command, or that of the program.
fn man(command: Option<&str>) -> Exit {
    let program = program();
    let wanted = match command {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let Some(wanted) = wanted else {
        let why = "gwd has no such command; `gwd --help` lists them";
        return fail(Exit::Usage, "usage", why, Format::Human);
    };
    let mut page = Vec::new();
    let _infallible = clap_mangen::Man::new(wanted.clone()).render(&mut page);
    write(&String::from_utf8_lossy(&page));
    Exit::Done
}

fn ask(
    client: &ClientOptions,
    method: &str,
    path: &str,
    body: Option<&Value>,
    text: impl Fn(&Value) -> String,
) -> Exit {
    let node = match client.node() {
        Ok(node) => node,
        Err(error) => return wrong_options(&error, client.format),
    };
    match node.ask(method, path, body) {
        Err(error) => fail(
            Exit::Unreachable,
            "unreachable",
            &format!("{error:#}"),
            client.format,
        ),
        Ok(answer) if answer.status >= 300 => refused(&answer.body, client.format),
        Ok(answer) => print(&answer.body, client.format, text),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("-")
}

/// Describes an upstream: `NAME N of M hosts available`, with the problems of unavailable hosts.
fn upstream_text(upstream: &Value) -> String {
    let hosts = upstream["hosts"].as_array().map_or(&[][..], Vec::as_slice);
    let works = hosts.iter();
    let works = works.filter(|host| host["works"] == true && host["unreachable"].is_null());
    let works = works.count();
    let mut out = format!(
        "{} {works} of {} hosts available",
        text(upstream, "upstream"),
        hosts.len()
    );
    if upstream["circuit"] != "closed" {
        out.push_str(&format!(", circuit {}", text(upstream, "circuit")));
    }
    for named in upstream["policies"].as_array().into_iter().flatten() {
        if named["circuit"] != "closed" {
            let (policy, circuit) = (text(named, "policy"), text(named, "circuit"));
            out.push_str(&format!(", policy {policy}: circuit {circuit}"));
        }
    }
    for host in hosts {
        let mut wrong = Vec::new();
        if host["check"] == "fails" {
            wrong.push(format!("fails its checks: {}", text(host, "why")));
        }
        if let Some(unreachable) = host["unreachable"].as_object() {
            let seconds = unreachable["for_ms"].as_u64().unwrap_or(0) / 1_000;
            let attempts = counted(unreachable["attempts"].as_u64().unwrap_or(0), "attempt");
            wrong.push(format!(
                "unreachable for {seconds}s, {attempts}: {}",
                text(&host["unreachable"], "error")
            ));
        }
        if let Some(ms) = host["ejected_ms"].as_u64() {
            wrong.push(format!("ejected for {}s more", ms.div_ceil(1_000)));
        }
        if host["circuit"] != "closed" {
            wrong.push(format!("circuit {}", text(host, "circuit")));
        }
        if !wrong.is_empty() {
            out.push_str(&format!("; {} {}", text(host, "host"), wrong.join(", ")));
        }
    }
    for source in upstream["found_by"].as_array().into_iter().flatten() {
        if let Some(error) = source["error"].as_str() {
            let seconds = source["age_ms"].as_u64().unwrap_or(0) / 1_000;
            let name = text(source, "name");
            out.push_str(&format!("; {name} not resolved for {seconds}s: {error}"));
        }
    }
    out
}

fn status_text(status: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &str| {
        out.push_str(&format!("{name:<10} {value}\n"));
    };
    line("node", text(status, "node"));
    line("channel", text(status, "channel"));
    line("bundle", text(status, "bundle"));
    line(
        "serial",
        &status["serial"]
            .as_u64()
            .map_or("-".to_owned(), |serial| serial.to_string()),
    );
    line("since", text(status, "since"));
    // While a candidate serves requests, a rollback ends the candidate. The target of the rollback
    // is the bundle that already runs.
    let ends_candidate = status["bundle"].is_string() && status["rollback_to"] == status["bundle"];
    let rollback_state = match status["previous_ready"].as_bool() {
        _ if ends_candidate => "",
        Some(true) => " (rollback ready)",
        Some(false) => " (NOT ready: see `gwd versions`)",
        None => "",
    };
    line(
        "previous",
        &format!("{}{rollback_state}", text(status, "previous")),
    );
    if ends_candidate {
        line(
            "rollback",
            "gives all requests to the running bundle, the base of the release",
        );
    }
    if status["rollout"].is_object() {
        line("release", &rollout_text(&status["rollout"]));
        comparison::lines(&status["rollout"]["comparison"], &mut line);
    }
    let ready = if status["ready"] == true { "yes" } else { "no" };
    line("ready", ready);
    for (name, address) in status["listeners"].as_object().into_iter().flatten() {
        line(
            "listener",
            &format!("{name} {}", address.as_str().unwrap_or("-")),
        );
    }
    for upstream in status["upstreams"].as_array().into_iter().flatten() {
        line("upstream", &upstream_text(upstream));
    }
    for set in status["key_sets"].as_array().into_iter().flatten() {
        line("key set", &key_set_text(set));
    }
    if status["registry"].is_object() {
        line("registry", &registry_text(&status["registry"]));
    }
    for store in status["stores"].as_array().into_iter().flatten() {
        line("store", &store_text(store));
    }
    let caches = status["caches"].as_array().into_iter().flatten();
    let caches: Vec<String> = caches.filter_map(cache_text).collect();
    if !caches.is_empty() {
        line("caches", &caches.join(", "));
    }
    warning_lines(status, &mut line);
    out
}

/// Describes the progressive release of the channel's head: step, share, and the place of this
/// node.
fn rollout_text(rollout: &Value) -> String {
    let place = match rollout["belongs"] == true {
        true => "this node belongs to the share".to_owned(),
        false => format!(
            "this node is outside of the share and follows the base, serial {}",
            rollout["base_serial"]
        ),
    };
    let requests = &rollout["requests"];
    let place = match (requests["base"].as_u64(), requests["candidate"].as_u64()) {
        (Some(base), Some(candidate)) => {
            format!("{place} and serves both versions; requests: base {base}, release {candidate}")
        }
        _ => place,
    };
    let unserved = rollout["candidate_refused"].as_str();
    let unserved = unserved.map_or_else(String::new, |why| {
        format!("; the release is refused: {why}")
    });
    let traffic = rollout["traffic"].as_str().filter(|share| *share != "100%");
    let share = rollout["shadow"].as_str();
    let traffic = share.or(traffic).map_or_else(String::new, |share| {
        format!(" for {share} of their requests")
    });
    let use_of = match share {
        Some(_) => "only compare the decisions of",
        None => "run",
    };
    let refused = rollout["base_refused"].as_str();
    let refused = refused.map_or_else(String::new, |why| format!("; the base is refused: {why}"));
    let guard = &rollout["guard"];
    let guard = match (guard["result"].as_str(), guard["by"].as_str()) {
        (Some(result), Some(by)) => format!("; guard {result} by {by}"),
        (Some(result), None) => format!("; guard {result}"),
        (None, _) => String::new(),
    };
    let stays = rollout["guard"]["return_refused"].as_str();
    let stays = stays.map_or_else(String::new, |why| format!(", the base cannot run: {why}"));
    format!(
        "step {} of {}, {} of the nodes {use_of} {}{traffic}; {place}{refused}{unserved}{guard}{stays}",
        rollout["step"],
        rollout["of"],
        text(rollout, "nodes"),
        text(rollout, "candidate"),
    )
}

/// Describes the registry of the store: address, channel, last poll with its result, and age of the
/// copy.
fn registry_text(registry: &Value) -> String {
    let newest = &registry["newest"];
    let newest = match (newest["serial"].as_u64(), newest["bundle"].as_str()) {
        (Some(serial), Some(bundle)) => format!("serial {serial}, bundle {bundle}"),
        (Some(serial), None) => {
            let record = text(newest, "digest");
            format!("serial {serial}, record {record}, which cannot be read")
        }
        (None, _) => "the channel has no record".to_owned(),
    };
    let ago = |key: &str| {
        let age = registry[key].as_u64().map(age_text);
        age.map(|age| format!("{age} ago"))
    };
    let copy = match ago("age_s") {
        Some(updated) => format!("last update {updated}: {newest}"),
        None => "no update yet".to_owned(),
    };
    let result = match (ago("polled_age_s"), registry["error"].as_str()) {
        (None, _) => format!("not polled since the start; {copy}"),
        (Some(polled), Some(why)) => format!("POLL FAILED {polled}: {why}; {copy}"),
        (Some(polled), None) => format!("polled {polled}: {newest}"),
    };
    let (address, channel) = (text(registry, "address"), text(registry, "channel"));
    let used = registry["answered"].as_str();
    let used = used.filter(|used| *used != address && registry["error"].is_null());
    let used = match (used, registry["silent"][0]["error"].as_str()) {
        (Some(used), Some(why)) => format!("; FALLBACK {used}, because: {why}"),
        (_, _) => String::new(),
    };
    format!("{address} channel {channel}, {result}{used}")
}

/// Formats an age in days, hours, minutes or seconds: in the largest unit of which the age has at
/// least two.
fn age_text(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Formats a count with its noun: `1 lease`, `12 leases`.
fn counted(count: u64, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// Describes a store: name and state, with the numbers of its leases and of the gateways that use
/// it.
fn store_text(store: &Value) -> String {
    let state = match store["up"].as_bool() {
        Some(true) => "answers",
        _ => "DOES NOT ANSWER",
    };
    let name = text(store, "name");
    match (store["gateways"].as_u64(), store["leases"].as_u64()) {
        (Some(gateways @ 1..), Some(leases)) => {
            let leases = counted(leases, "lease");
            let gateways = counted(gateways, "gateway");
            format!("{name} {state}, {leases}, {gateways}")
        }
        _ => format!("{name} {state}"),
    }
}

/// Calls `line` with label and text for each condition in the status that needs attention.
fn warning_lines(status: &Value, line: &mut dyn FnMut(&str, &str)) {
    if let Some(hold) = status["hold"].as_object() {
        let sticky = if hold["sticky"] == true {
            ", sticky: until `gwd resume`"
        } else {
            ""
        };
        let from = hold["from"].as_str().unwrap_or("-");
        line("HELD", &format!("against {from}{sticky}"));
    }
    if let Some(limit) = status["validation_limit"].as_object() {
        let mode = limit["mode"].as_str().unwrap_or("-");
        let reason = limit["reason"].as_str();
        let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
        line(
            "VALIDATION",
            &format!("limited to {mode} until the next bundle{reason}"),
        );
    }
    for alarm in status["alarms"].as_array().into_iter().flatten() {
        line("ALARM", alarm.as_str().unwrap_or("-"));
    }
    for broken in status["broken_certificates"]
        .as_array()
        .into_iter()
        .flatten()
    {
        line("BROKEN", broken.as_str().unwrap_or("-"));
    }
    for reference in status["stale_secrets"].as_array().into_iter().flatten() {
        line("STALE", reference.as_str().unwrap_or("-"));
    }
    if status["durable"] == false {
        line(
            "WARNING",
            "the state folder cannot be written: after a restart, gwd would use an older state",
        );
    }
    if status["insecure_allow_unsigned"] == true {
        line("INSECURE", "unsigned bundles are accepted");
    }
    if status["replay_protected"] == false {
        line(
            "WARNING",
            "replay-unprotected: the store could replay an older release; write a floor with `gwc trust floor`",
        );
    }
    if status["revocations_protected"] == false {
        line(
            "WARNING",
            "revocations-unprotected: the store could withhold a revocation list; write a floor with `gwc trust floor`",
        );
    }
    if let Some(error) = status["last_error"].as_object() {
        line(
            "error",
            &format!(
                "{}: {} ({})",
                error["reason"].as_str().unwrap_or("-"),
                error["message"].as_str().unwrap_or("-"),
                error["at"].as_str().unwrap_or("-"),
            ),
        );
    }
}

/// Describes a key set that gwd fetches: source, number of keys, age, and the result of the last
/// fetch.
fn key_set_text(set: &Value) -> String {
    let keys = match set["keys"].as_u64().unwrap_or(0) {
        0 => "no keys".to_owned(),
        1 => "1 key".to_owned(),
        many => format!("{many} keys"),
    };
    let age = set["age_s"].as_u64();
    let age = age.map_or(String::new(), |age_s| format!(", {age_s}s old"));
    let result = match (set["failure"].as_str(), set["fetches"].as_u64()) {
        (Some(why), _) => format!("; the last fetch failed: {why}"),
        (None, Some(0)) => "; not fetched yet".to_owned(),
        (None, _) => String::new(),
    };
    format!("{} {keys}{age}{result}", text(set, "source"))
}

/// Describes a cache or table: name, number of entries, and size. `None` if it is empty.
fn cache_text(cache: &Value) -> Option<String> {
    let number = |name: &str| cache[name].as_u64().unwrap_or(0);
    let entries = number("entries");
    let kib = number("bytes").div_ceil(1024);
    (entries > 0).then(|| format!("{} {entries} ({kib}KiB)", text(cache, "cache")))
}

fn versions_text(bundles: &Value) -> String {
    let mut out = String::new();
    for bundle in bundles["bundles"].as_array().into_iter().flatten() {
        let state = match (bundle["running"] == true, bundle["resident"] == true) {
            (true, _) => "running",
            (false, true) => "resident",
            (false, false) => "on disk",
        };
        let serial = bundle["serial"].as_u64();
        let serial = serial.map_or("-".to_owned(), |serial| serial.to_string());
        let note = match bundle["not_ready"].as_str() {
            Some("on-disk") | None => String::new(),
            Some(why) => format!(" NOT ready: {why}"),
        };
        out.push_str(&format!(
            "{} {state:<8} serial {serial:<5} {}{note}\n",
            text(bundle, "bundle"),
            text(bundle, "created")
        ));
    }
    out
}

fn check_text(checked: &Value) -> String {
    let mut out = format!(
        "bundle     {}\nserial     {}\nroutes     {}\n",
        text(checked, "bundle"),
        checked["serial"],
        checked["routes"],
    );
    for (name, address) in checked["listeners"].as_object().into_iter().flatten() {
        out.push_str(&format!(
            "listener   {name} {}\n",
            address.as_str().unwrap_or("-")
        ));
    }
    out
}
