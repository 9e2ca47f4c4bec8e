//! Option `--rule NAME=LEVEL`.

use diag::Level;

use model::compile::Levels;
use model::exit::Failure;
use openapi::lint::find::{self, find};

/// Parses the `NAME=LEVEL` options of the command line.
pub(in crate::cli) fn levels(texts: &[String]) -> anyhow::Result<Levels> {
    let parse = |text: &String| {
        let (name, level) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`--rule {text}`: write NAME=LEVEL")))?;
        let Some(lint) = find(name) else {
            let unknown = find::unknown(name);
            let message = format!("`--rule {text}`: {}; {}", unknown.message, unknown.hint);
            return Err(Failure::usage(message).into());
        };
        let level = match level {
            "off" => None,
            "info" => Some(Level::Info),
            "warn" => Some(Level::Warn),
            "error" => Some(Level::Error),
            _ => {
                return Err(Failure::usage(format!(
                    "`{level}` is not a level; write off, info, warn or error"
                ))
                .into());
            }
        };
        if openapi::lint::hard::is_hard(lint) && level < Some(lint.level) {
            let why = openapi::lint::hard::least(lint);
            return Err(Failure::usage(format!("{why}: it prevents a build")).into());
        }
        Ok((lint.name.to_owned(), level))
    };
    texts.iter().map(parse).collect()
}
