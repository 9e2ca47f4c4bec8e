//! Capabilities of the client and of the server.

use std::path::PathBuf;

use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, CodeLensOptions,
    CompletionOptions, HoverProviderCapability, InitializeParams, OneOf, RenameOptions,
    ServerCapabilities, TextDocumentSyncCapability, TextDocumentSyncKind, WorkDoneProgressOptions,
};

use crate::actions::FIX_ALL;
use crate::text::Encoding;
use crate::uri::path_of;

/// Capabilities of the client that the server uses.
pub(crate) struct Client {
    pub(crate) encoding: Encoding,
    /// Folders of the workspace.
    pub(crate) folders: Vec<PathBuf>,
    /// True if the server can register for `workspace/didChangeWatchedFiles` (dynamic
    /// registration).
    pub(crate) watches_files: bool,
    /// True if the client supports `workspace/codeLens/refresh`.
    pub(crate) refreshes_lenses: bool,
    /// True if diagnostics may have the version of their document.
    pub(crate) has_versions: bool,
}

impl Client {
    /// Reads the parameters of `initialize`.
    pub(crate) fn of(params: &InitializeParams) -> Self {
        let general = params.capabilities.general.as_ref();
        let encodings = general.and_then(|general| general.position_encodings.as_deref());
        let workspace = params.capabilities.workspace.as_ref();
        let watched = workspace.and_then(|workspace| workspace.did_change_watched_files);
        let document = params.capabilities.text_document.as_ref();
        let published = document.and_then(|document| document.publish_diagnostics.as_ref());
        let lens = workspace.and_then(|workspace| workspace.code_lens.as_ref());
        let folders = params.workspace_folders.iter().flatten();
        let mut folders: Vec<PathBuf> = folders.filter_map(|one| path_of(&one.uri)).collect();
        #[expect(deprecated, reason = "older clients send only the root")]
        if folders.is_empty()
            && let Some(root) = &params.root_uri
        {
            folders.extend(path_of(root));
        }
        Self {
            encoding: Encoding::of(encodings),
            folders,
            watches_files: watched.is_some_and(|one| one.dynamic_registration == Some(true)),
            has_versions: published.is_some_and(|one| one.version_support == Some(true)),
            refreshes_lenses: lens.is_some_and(|one| one.refresh_support == Some(true)),
        }
    }

    /// Capabilities of the server for this client.
    pub(crate) fn server(&self) -> ServerCapabilities {
        let triggers = [":", " ", "/", "'", "\"", "+", "-"];
        ServerCapabilities {
            position_encoding: Some(self.encoding.kind()),
            text_document_sync: Some(TextDocumentSyncCapability::Kind(
                TextDocumentSyncKind::INCREMENTAL,
            )),
            completion_provider: Some(CompletionOptions {
                trigger_characters: Some(triggers.map(str::to_owned).to_vec()),
                ..CompletionOptions::default()
            }),
            hover_provider: Some(HoverProviderCapability::Simple(true)),
            definition_provider: Some(OneOf::Left(true)),
            references_provider: Some(OneOf::Left(true)),
            rename_provider: Some(OneOf::Right(RenameOptions {
                prepare_provider: Some(true),
                work_done_progress_options: WorkDoneProgressOptions::default(),
            })),
            code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![CodeActionKind::QUICKFIX, FIX_ALL]),
                ..CodeActionOptions::default()
            })),
            code_lens_provider: Some(CodeLensOptions {
                resolve_provider: Some(false),
            }),
            ..ServerCapabilities::default()
        }
    }
}
