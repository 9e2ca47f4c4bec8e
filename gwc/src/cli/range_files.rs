//! Option `--range-file` of `gwc route` and `gwc test`: local copies of the files of address ranges
//! that a gateway reads.

use std::path::Path;

use ::plan::ask::{self, RangeFiles};
use bundle::ir::Gateway;
use diag::suggest;
use model::exit::{Exit, Failure};
use policy::{Form, SecretRef, ranges};

use super::say;
use crate::release::links;

#[derive(Debug, Default, clap::Args)]
pub(super) struct RangeOptions {
    /// Local copy (FILE) of a file that `allow_file` or `deny_file` names (PATH, the path on the
    /// gateway, or `env:NAME`); a file without a copy admits every address; may be given several
    /// times
    #[arg(long, value_name = "PATH=FILE")]
    range_file: Vec<String>,
}

impl RangeOptions {
    /// Reads the copies of range files that the option gives.
    ///
    /// # Errors
    /// Returns a usage error if no policy of the gateway has the path. Returns an input error if a
    /// copy cannot be read, or is not a list of ranges.
    pub(super) fn read(&self, gateway: &Gateway) -> anyhow::Result<RangeFiles> {
        let mut read = RangeFiles::new();
        for option in &self.range_file {
            let Some((named, file)) = option.split_once('=') else {
                let message = format!("`--range-file {option}`: write PATH=FILE");
                return Err(Failure::usage(message).into());
            };
            let reference = match named.strip_prefix("env:") {
                Some(name) => SecretRef::Env(name.to_owned()),
                None => SecretRef::File(named.to_owned()),
            };
            let reference = reference.to_string();
            let known = ask::range_files(gateway);
            if !known.contains(&reference) {
                let known = known.iter().map(String::as_str);
                let message = format!(
                    "`--range-file {option}`: no `allow_file` or `deny_file` names `{reference}`; {}",
                    suggest::one_of(known, 8)
                );
                return Err(Failure::usage(message).into());
            }
            read.insert(reference, ranges_in(Path::new(file))?);
        }
        Ok(read)
    }
}

fn ranges_in(file: &Path) -> anyhow::Result<policy::Addresses> {
    let shown = say::path(file);
    let failed = |code: &str, why: String| Failure::new(Exit::INPUT, code, why);
    let cannot = |error| failed("no-such-file", format!("cannot read {shown}: {error}"));
    links::check(file)?;
    let most = Form::Ranges.bytes_max();
    if std::fs::metadata(file).map_err(cannot)?.len() > most {
        let message = format!("{shown} is longer than {most} bytes");
        return Err(failed("too-large", message).into());
    }
    let content = std::fs::read(file).map_err(cannot)?;
    ranges::parse(&content).ok_or_else(|| {
        let message = format!("{shown} is not a list of address ranges, one per line");
        failed("bad-ranges", message).into()
    })
}
