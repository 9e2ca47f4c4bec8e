//! Language server for gateway.yaml and OpenAPI documents (Language Server Protocol 3.17).
//!
//! Editors start `gwc lsp` and exchange JSON-RPC messages with it over standard input and output.
//! The server compiles the projects of the open documents with the texts of the editor, and reports
//! findings as diagnostics. It completes keys, values and names, describes keys and operations,
//! finds definitions and references, renames names, and applies the edits of findings.
//!
//! The server reads the files that the compiler reads, writes nothing, and starts no program.

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod actions;
mod checker;
mod client;
mod completion;
mod diagnostics;
mod effective;
mod hover;
mod lens;
mod names;
mod navigation;
mod outline;
mod project;
mod rename;
mod server;
mod shapes;
mod text;
pub mod transport;
mod uri;

use anyhow::Context as _;
use lsp_server::Connection;
use lsp_types::{InitializeParams, InitializeResult, ServerInfo};
use sources::syntax::Limits;

use client::Client;
use server::Server;

/// Options of the server.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Limits on files.
    pub limits: Limits,
    /// Returns the current Unix time in seconds, against which expiry dates are checked.
    pub now_s: fn() -> u64,
}

/// Number of completions at a byte offset of a document, for the fuzz target of outlines. An offset
/// inside a character counts as its start.
#[cfg(feature = "test-hooks")]
#[must_use]
pub fn completions(text: &str, mut offset: usize) -> usize {
    offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let text = text::Text::new(text.to_owned());
    let gateway = outline::Outline::of(text.content());
    let kinds = [shapes::FileKind::Gateway, shapes::FileKind::Document];
    let all = kinds.map(|kind| {
        let encoding = text::Encoding::Utf16;
        let known = completion::Known {
            file: kind,
            gateway: Some(&gateway),
            checked: None,
        };
        completion::complete(&text, offset, known, encoding).len()
    });
    all.iter().sum()
}

/// Serves a client until it ends the session.
///
/// # Errors
/// Returns an error if the connection breaks or the client violates the protocol.
pub fn serve(connection: &Connection, options: Options) -> anyhow::Result<()> {
    let started = connection.initialize_start();
    let (id, params) = started.context("the client ended the session before `initialize`")?;
    let params: InitializeParams =
        serde_json::from_value(params).context("the parameters of `initialize` are not valid")?;
    let client = Client::of(&params);
    let result = InitializeResult {
        capabilities: client.server(),
        server_info: Some(ServerInfo {
            name: diagnostics::SOURCE.to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
    };
    connection.initialize_finish(id, serde_json::to_value(result)?)?;
    Server::new(connection, client, options)?.run()
}
