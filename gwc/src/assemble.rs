//! Conversion of a lowered gateway to the bytes of a bundle, and back.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bundle::ir;
use bundle::manifest::{ApiPart, Bundle, Config, FORMAT, Parts};
use bundle::name::ProjectName;
use bundle::refused::Refused;
use bundle::verify::Full;

use model::lower::Lowered;
use sources::parallel;

/// Assembles a bundle. Equal gateways have the same bundle id.
///
/// # Errors
/// Returns an error if the gateway exceeds a limit of the bundle format.
pub fn assemble(lowered: &Lowered) -> anyhow::Result<Bundle> {
    let gateway = &lowered.gateway;
    let project: ProjectName = gateway
        .shared
        .project
        .parse()
        .context("the project's name")?;
    let needs = gateway
        .needs()
        .iter()
        .map(|need| need.parse())
        .collect::<Result<_, _>>()
        .context("a feature's name")?;
    let operations: usize = gateway.apis.iter().map(|api| api.operations.len()).sum();
    let mut counts = BTreeMap::new();
    for (name, count) in [
        ("apis", gateway.apis.len()),
        ("operations", operations),
        ("upstreams", gateway.shared.upstreams.len()),
        ("consumers", gateway.shared.consumers.len()),
        ("policies", gateway.shared.policies.len()),
    ] {
        counts.insert(
            name.parse().context("a count's name")?,
            u64::try_from(count)?,
        );
    }
    let apis = parallel::map(gateway.apis.iter().collect(), |api: &ir::Api| {
        let contract = lowered
            .contracts
            .get(&api.name)
            .context("an API has no contract")?;
        Ok(ApiPart {
            name: api.name.clone(),
            behaviour: bundle::codec::encode(api),
            contract: bundle::codec::encode(contract),
        })
    });
    let (own, in_file) = consumers(lowered)?;
    let shared = ir::Shared {
        consumers: own,
        ..gateway.shared.clone()
    };
    let parts = Parts {
        shared: bundle::codec::encode(&shared),
        consumers: in_file.as_ref().map(bundle::codec::encode),
        apis: apis.into_iter().collect::<anyhow::Result<_>>()?,
        documents: lowered.documents.values().cloned().collect(),
    };
    Ok(Bundle::assemble(
        Config {
            format: FORMAT,
            project,
            needs,
            counts,
        },
        parts,
    )?)
}

/// Splits the consumers into the consumers of the shared blob and the consumers of the separate
/// blob. `None`: there is no separate blob.
fn consumers(lowered: &Lowered) -> anyhow::Result<(Consumers, Option<Consumers>)> {
    let all = &lowered.gateway.shared.consumers;
    let Some(names) = &lowered.consumers_file else {
        return Ok((all.clone(), None));
    };
    let (in_file, own): (Vec<_>, Vec<_>) = all
        .iter()
        .cloned()
        .partition(|consumer| names.contains(&consumer.name));
    let set = |consumers| {
        Consumers::new(consumers)
            .map_err(|twice| anyhow::anyhow!("two consumers are named `{}`", twice.0))
    };
    Ok((set(own)?, Some(set(in_file)?)))
}

type Consumers = ir::Set<ir::Consumer>;

/// Decodes the blobs of a bundle to a lowered gateway.
///
/// # Errors
/// Returns an error if this version cannot decode a blob.
pub fn disassemble(full: &Full) -> Result<Lowered, Refused> {
    let malformed = |what| Refused::Malformed {
        what,
        why: "this version cannot read its format".into(),
    };
    let mut shared: ir::Shared = bundle::codec::decode(&full.runtime.shared.bytes)
        .map_err(|_| malformed("the shared blob"))?;
    let in_file: Option<Consumers> = match &full.runtime.consumers {
        None => None,
        Some(blob) => {
            Some(bundle::codec::decode(&blob.bytes).map_err(|_| malformed("the consumers blob"))?)
        }
    };
    let names = |consumers: &Consumers| consumers.iter().map(|it| it.name.clone()).collect();
    let consumers_file = in_file.as_ref().map(names);
    if let Some(in_file) = in_file {
        let all = shared.consumers.iter().chain(&in_file).cloned();
        shared.consumers =
            Consumers::new(all.collect()).map_err(|_| malformed("the consumers blob"))?;
    }
    let apis = full
        .runtime
        .apis
        .iter()
        .map(|blob| bundle::codec::decode::<ir::Api>(&blob.bytes));
    let apis: Vec<ir::Api> = apis
        .collect::<Result<_, _>>()
        .map_err(|_| malformed("a behaviour blob"))?;
    let contracts = full
        .contracts
        .iter()
        .map(|blob| ir::Contract::read(&blob.bytes));
    let contracts: Vec<ir::Contract> = contracts
        .collect::<Result<_, _>>()
        .map_err(|_| malformed("a contract blob"))?;
    let apis = ir::Set::new(apis).map_err(|_| malformed("the APIs"))?;
    let contracts = ir::Set::new(contracts).map_err(|_| malformed("the contracts"))?;
    Ok(Lowered {
        gateway: ir::Gateway { shared, apis },
        contracts,
        consumers_file,
        prose: BTreeMap::new(),
        sites: BTreeMap::new(),
        documents: full
            .runtime
            .documents
            .iter()
            .map(|blob| (*blob.digest.as_bytes(), blob.bytes.clone()))
            .collect(),
    })
}
