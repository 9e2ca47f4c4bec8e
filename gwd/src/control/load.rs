//! From a verified bundle's blobs to a gateway's meaning.

use bundle::ir::{Api, Consumer, Gateway, Set, Shared};
use bundle::refused::Refused;
use bundle::verify::Runtime;

/// Decodes what gwd runs. Everything is strict: what another version would read differently is
/// refused by name.
///
/// # Errors
/// [`Refused::Malformed`] with the blob.
pub(crate) fn gateway(runtime: &Runtime) -> Result<Gateway, Refused> {
    let mut shared: Shared = bundle::codec::decode(&runtime.shared.bytes)
        .map_err(|_| malformed("shared blob", "it is not what this version of gwd reads"))?;
    if let Some(blob) = &runtime.consumers {
        let more: Set<Consumer> = bundle::codec::decode(&blob.bytes)
            .map_err(|_| malformed("consumers blob", "it is not what this version of gwd reads"))?;
        let all = shared.consumers.iter().chain(&more).cloned().collect();
        shared.consumers =
            Set::new(all).map_err(|_| malformed("consumers blob", "a consumer is named twice"))?;
    }
    let mut apis = Vec::with_capacity(runtime.apis.len());
    for blob in &runtime.apis {
        let api: Api = bundle::codec::decode(&blob.bytes)
            .map_err(|_| malformed("API blob", "it is not what this version of gwd reads"))?;
        let named = shared.apis.get(&api.name);
        if named.is_none_or(|named| named.digest != *blob.digest.as_bytes()) {
            return Err(malformed("API blob", "the shared blob names another one"));
        }
        apis.push(api);
    }
    if apis.len() != shared.apis.len() {
        return Err(malformed(
            "bundle",
            "it has other APIs than its shared blob names",
        ));
    }
    let apis = Set::new(apis).map_err(|_| malformed("bundle", "an API is there twice"))?;
    Ok(Gateway { shared, apis })
}

fn malformed(what: &'static str, why: &'static str) -> Refused {
    Refused::Malformed {
        what,
        why: why.into(),
    }
}
