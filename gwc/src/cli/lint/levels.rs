//! `--rule NAME=LEVEL`.

use diag::{Level, suggest};

use crate::compile::{self, Levels};
use crate::exit::Failure;

/// Reads the levels that the command line sets.
pub(super) fn levels(texts: &[String]) -> anyhow::Result<Levels> {
    let known: Vec<&str> = crate::lint::ALL
        .iter()
        .flat_map(|lints| lints.iter())
        .map(|lint| lint.name)
        .collect();
    let parse = |text: &String| {
        let (name, level) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("`--rule {text}`: write NAME=LEVEL")))?;
        if !known.contains(&name) {
            let near = suggest::nearest(name, known.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(Failure::usage(format!(
                "there is no rule `{name}`{near} (`gwc rules` lists them)"
            ))
            .into());
        }
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
        let lint = crate::lint::ALL
            .iter()
            .flat_map(|lints| lints.iter())
            .find(|lint| lint.name == name);
        if let Some(lint) = lint
            && compile::is_hard(lint)
            && level < Some(lint.level)
        {
            let why = compile::least(lint);
            return Err(Failure::usage(format!("{why}: nothing could be built with it")).into());
        }
        Ok((name.to_owned(), level))
    };
    texts.iter().map(parse).collect()
}
