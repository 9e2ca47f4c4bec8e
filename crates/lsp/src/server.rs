//! State of the server and its main loop.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, never, select};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidChangeWatchedFiles, DidCloseTextDocument, DidOpenTextDocument,
    LogMessage, Notification as _, PublishDiagnostics, ShowMessage,
};
use lsp_types::request::{
    CodeActionRequest, CodeLensRefresh, CodeLensRequest, Completion, GotoDefinition, HoverRequest,
    PrepareRenameRequest, References, Rename, Request as _,
};
use lsp_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, Hover,
    HoverContents, LogMessageParams, MarkupContent, MarkupKind, MessageType, Position,
    PrepareRenameResponse, PublishDiagnosticsParams, ShowMessageParams, TextDocumentIdentifier,
    Uri,
};
use model::compile::Input;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sources::project::GATEWAY_FILE;
use sources::project::parses::Parses;

use crate::checker::{self, Job, Outcome};
use crate::client::Client;
use crate::completion::Known;
use crate::outline::Outline;
use crate::project::{self, Checked, Open, input_of};
use crate::shapes::FileKind;
use crate::text::Text;
use crate::uri::{path_of, uri_of};
use crate::{Options, actions, completion, diagnostics, hover, lens, navigation, rename};

/// Time without edits after which slow projects are compiled. Slow is a project whose compilation
/// takes longer than this time. Other projects are compiled after each edit.
const QUIET: Duration = Duration::from_millis(100);

/// State of the server.
pub(crate) struct Server<'c> {
    connection: &'c Connection,
    client: Client,
    options: Options,
    open: Open,
    projects: BTreeMap<PathBuf, Project>,
    jobs: Sender<Job>,
    outcomes: Receiver<Outcome>,
    /// True while the checker has a job.
    is_busy: bool,
    /// Timer that expires when projects with changed texts are to be compiled.
    quiet: Receiver<std::time::Instant>,
    /// Timer that expires [`QUIET`] after the start of a compilation.
    slow: Receiver<std::time::Instant>,
    /// Time without edits before the next compilation.
    wait: Duration,
    requests: i32,
}

/// Project or document of the workspace.
struct Project {
    input: Input,
    /// Number of changes of the project's texts.
    revision: u64,
    /// Last result, with the revision of the texts that were compiled.
    checked: Option<(u64, Arc<Checked>)>,
    /// Parsed files of the last compilation.
    parses: Arc<Parses>,
    /// Revision of the last job for the checker. `None`: there was none.
    sent: Option<u64>,
    /// Files for which the client has diagnostics.
    published: BTreeSet<PathBuf>,
}

/// Failure of a request.
type Failure = (ErrorCode, String);

impl<'c> Server<'c> {
    /// Creates a server with the projects of the client's folders.
    ///
    /// # Errors
    /// Returns an error if the thread for compilations cannot be started.
    pub(crate) fn new(
        connection: &'c Connection,
        client: Client,
        options: Options,
    ) -> anyhow::Result<Self> {
        let (jobs, outcomes) = checker::spawn(options.limits, options.now_s)?;
        let mut server = Self {
            connection,
            client,
            options,
            open: Open::new(),
            projects: BTreeMap::new(),
            jobs,
            outcomes,
            is_busy: false,
            quiet: never(),
            slow: never(),
            wait: Duration::ZERO,
            requests: 0,
        };
        for folder in server.client.folders.clone() {
            if folder.join(GATEWAY_FILE).is_file() {
                server.add(Input::Project(folder));
            }
        }
        Ok(server)
    }

    /// Handles messages until the client ends the session.
    ///
    /// # Errors
    /// Returns an error if the connection breaks.
    pub(crate) fn run(&mut self) -> anyhow::Result<()> {
        self.watch_files()?;
        loop {
            let quiet = self.quiet.clone();
            select! {
                recv(self.connection.receiver) -> message => match message {
                    Ok(Message::Request(request)) => {
                        if self.connection.handle_shutdown(&request)? {
                            return Ok(());
                        }
                        self.answer(request)?;
                    }
                    Ok(Message::Notification(notice)) => self.notice(notice, Self::heed)?,
                    Ok(Message::Response(_)) => {}
                    Err(_) => return Ok(()),
                },
                recv(self.outcomes) -> outcome => {
                    let outcome = outcome?;
                    let published = self.guarded(|server| server.checked(outcome));
                    published.unwrap_or_else(|| self.log_bug("publishing findings"))?;
                }
                recv(quiet) -> _ => {
                    self.quiet = never();
                    self.check_next()?;
                }
            }
        }
    }

    /// Calls a handler. `None` after a panic, because a bug that one document triggers must not end
    /// the session.
    fn guarded<T>(&mut self, handler: impl FnOnce(&mut Self) -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(|| handler(self))).ok()
    }

    /// Sends a log message to the client: gwc ended the handling of `what` because of a bug.
    fn log_bug(&self, what: &str) -> anyhow::Result<()> {
        let advice = "please report it, close the document and open it again";
        let message = format!("{what} ended with a bug of gwc; {advice}");
        let typ = MessageType::ERROR;
        self.notify::<LogMessage>(LogMessageParams { typ, message })
    }

    // --- Notifications ---

    /// Calls the handler of a notification. After a panic, the text of its document may be
    /// incomplete, so the document counts as closed.
    fn notice(
        &mut self,
        notification: Notification,
        handler: impl FnOnce(&mut Self, &str, Value),
    ) -> anyhow::Result<()> {
        let Notification { method, params } = notification;
        let uri = params.pointer("/textDocument/uri").cloned();
        let handled = self.guarded(|server| handler(server, &method, params));
        if handled.is_some() {
            return Ok(());
        }
        let uri: Option<Uri> = uri.and_then(|uri| serde_json::from_value(uri).ok());
        if let Some(path) = uri.and_then(|uri| path_of(&uri)) {
            self.open.remove(&path);
            self.mark_dirty(|folder| path.starts_with(folder));
        }
        self.log_bug(&format!("`{method}`"))
    }

    fn heed(&mut self, method: &str, params: Value) {
        match method {
            DidOpenTextDocument::METHOD => {
                if let Ok(params) = serde_json::from_value(params) {
                    self.opened(params);
                }
            }
            DidChangeTextDocument::METHOD => {
                if let Ok(params) = serde_json::from_value(params) {
                    self.changed(params);
                }
            }
            DidCloseTextDocument::METHOD => {
                if let Ok(params) = serde_json::from_value(params) {
                    self.closed(&params);
                }
            }
            DidChangeWatchedFiles::METHOD => self.mark_dirty(|_| true),
            _ => {}
        }
    }

    fn opened(&mut self, params: DidOpenTextDocumentParams) {
        let Some(path) = path_of(&params.text_document.uri) else {
            return;
        };
        let mut text = Text::new(params.text_document.text);
        text.set_version(params.text_document.version);
        self.open.insert(path.clone(), text);
        if let Some(input) = input_of(&path, &self.open) {
            self.add(input);
        }
        self.mark_dirty(|folder| path.starts_with(folder));
    }

    fn changed(&mut self, params: DidChangeTextDocumentParams) {
        let path = path_of(&params.text_document.uri);
        let Some(path) = path.filter(|path| self.open.contains_key(path)) else {
            return;
        };
        let encoding = self.client.encoding;
        if let Some(text) = self.open.get_mut(&path) {
            for change in params.content_changes {
                text.change(change, encoding);
            }
            text.set_version(params.text_document.version);
        }
        if let Some(input) = input_of(&path, &self.open) {
            self.add(input);
        }
        self.mark_dirty(|folder| path.starts_with(folder));
    }

    fn closed(&mut self, params: &DidCloseTextDocumentParams) {
        if let Some(path) = path_of(&params.text_document.uri) {
            self.open.remove(&path);
            self.mark_dirty(|folder| path.starts_with(folder));
        }
    }

    /// Adds a project or document, unless it is known.
    fn add(&mut self, input: Input) {
        let key = key_of(&input);
        self.projects.entry(key).or_insert(Project {
            input,
            revision: 0,
            checked: None,
            parses: Arc::default(),
            sent: None,
            published: BTreeSet::new(),
        });
        self.quiet = after(self.wait);
    }

    /// Marks a project for compilation if `has_changed` returns true for its folder.
    fn mark_dirty(&mut self, has_changed: impl Fn(&Path) -> bool) {
        for project in self.projects.values_mut() {
            project.revision += u64::from(has_changed(project.input.folder()));
        }
        self.quiet = after(self.wait);
    }

    // --- Compilations ---

    /// Starts the compilation of a project whose texts have changed.
    fn check_next(&mut self) -> anyhow::Result<()> {
        if self.is_busy {
            return Ok(());
        }
        let mut changed = self.projects.values_mut().filter(|one| one.has_changed());
        if let Some(project) = changed.next() {
            project.sent = Some(project.revision);
            self.is_busy = true;
            self.slow = after(QUIET);
            self.jobs.send(Job {
                input: project.input.clone(),
                revision: project.revision,
                open: self.open.clone(),
                parses: Arc::clone(&project.parses),
            })?;
        }
        Ok(())
    }

    /// Publishes the result of a compilation, and starts the next one.
    fn checked(&mut self, outcome: Outcome) -> anyhow::Result<()> {
        self.is_busy = false;
        let is_slow = self.slow.try_recv().is_ok();
        self.wait = if is_slow { QUIET } else { Duration::ZERO };
        match outcome.checked {
            Ok(checked) => self.publish(&outcome.input, outcome.revision, &checked)?,
            Err(message) => self.notify::<ShowMessage>(ShowMessageParams {
                typ: MessageType::ERROR,
                message,
            })?,
        }
        // Edits since the beginning of the compilation wait until the editor sends no further
        // change.
        if self.quiet.is_empty() && self.projects.values().any(Project::has_changed) {
            self.quiet = after(self.wait);
        }
        Ok(())
    }

    fn publish(
        &mut self,
        input: &Input,
        revision: u64,
        checked: &Arc<Checked>,
    ) -> anyhow::Result<()> {
        let Some(project) = self.projects.get_mut(&key_of(input)) else {
            return Ok(());
        };
        let mut all = diagnostics::all(checked, self.client.encoding);
        // A request may have compiled newer texts in the meantime.
        let known = project.checked.as_ref();
        let is_newer = known.is_none_or(|(known, _)| *known < revision);
        // Memory of the older result is freed after the notifications.
        let _older = is_newer
            .then(|| project.checked.replace((revision, Arc::clone(checked))))
            .flatten();
        let now: BTreeSet<PathBuf> = all.keys().cloned().collect();
        // An open document gets a list of diagnostics even if the list is empty, which shows
        // clients that the document was checked.
        let open = checked.open_files();
        let files: BTreeSet<PathBuf> = project.published.union(&now).cloned().chain(open).collect();
        project.published = now;
        for path in files {
            if let Some(uri) = uri_of(&path) {
                let diagnostics = all.remove(&path).unwrap_or_default();
                let version = checked.version_of(&path);
                let version = version.filter(|_| self.client.has_versions);
                let params = PublishDiagnosticsParams::new(uri, diagnostics, version);
                self.notify::<PublishDiagnostics>(params)?;
            }
        }
        if self.client.refreshes_lenses {
            self.requests += 1;
            let id = RequestId::from(self.requests);
            let request = Request::new(id, CodeLensRefresh::METHOD.to_owned(), Value::Null);
            self.send(request)?;
        }
        Ok(())
    }

    /// Result of the compilation of a document's project with the current texts. Spans of older
    /// texts would lead to wrong places, and to wrong edits.
    fn fresh(&mut self, path: &Path) -> Result<Arc<Checked>, Failure> {
        let input = input_of(path, &self.open).ok_or_else(no_project)?;
        let project = self.projects.get_mut(&key_of(&input));
        let project = project.ok_or_else(no_project)?;
        if let Some((revision, checked)) = &project.checked
            && *revision == project.revision
        {
            return Ok(Arc::clone(checked));
        }
        let Options { limits, now_s } = self.options;
        let limits = (limits, now_s());
        let checked = project::check(&project.input, &self.open, limits, &project.parses);
        let checked = checked.map_err(|error| (ErrorCode::RequestFailed, format!("{error:#}")))?;
        let checked = Arc::new(checked);
        project.checked = Some((project.revision, Arc::clone(&checked)));
        Ok(checked)
    }

    // --- Requests ---

    fn answer(&mut self, request: Request) -> anyhow::Result<()> {
        let Request { id, method, params } = request;
        let response = match self.guarded(|server| server.answer_of(&method, params)) {
            Some(Ok(result)) => Response::new_ok(id, result),
            Some(Err((code, message))) => Response::new_err(id, code as i32, message),
            None => {
                let message = format!("`{method}` ended with a bug of gwc");
                Response::new_err(id, ErrorCode::InternalError as i32, message)
            }
        };
        self.send(response)
    }

    fn answer_of(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        match method {
            Completion::METHOD => self.complete(params),
            HoverRequest::METHOD => self.hover(params),
            GotoDefinition::METHOD => self.definition(params),
            References::METHOD => self.references(params),
            PrepareRenameRequest::METHOD => self.prepare_rename(params),
            Rename::METHOD => self.rename(params),
            CodeActionRequest::METHOD => self.actions(params),
            CodeLensRequest::METHOD => self.lenses(params),
            _ => {
                let message = format!("gwc does not support `{method}`");
                Err((ErrorCode::MethodNotFound, message))
            }
        }
    }

    fn complete(&mut self, params: Value) -> Result<Value, Failure> {
        let params: <Completion as lsp_types::request::Request>::Params = read(params)?;
        let at = params.text_document_position;
        let (path, offset) = self.cursor(&at.text_document, at.position)?;
        let Some(text) = self.open.get(&path) else {
            return Ok(Value::Null);
        };
        let Some((kind, gateway)) = self.kind(&path, text) else {
            return Ok(Value::Null);
        };
        let known = Known {
            file: kind,
            gateway: gateway.as_ref(),
            checked: self.last(&path),
        };
        let encoding = self.client.encoding;
        written(completion::complete(text, offset, known, encoding))
    }

    fn hover(&mut self, params: Value) -> Result<Value, Failure> {
        let params: <HoverRequest as lsp_types::request::Request>::Params = read(params)?;
        let at = params.text_document_position_params;
        let (path, offset) = self.cursor(&at.text_document, at.position)?;
        let checked = self.fresh(&path)?;
        let Some(text) = self.open.get(&path) else {
            return Ok(Value::Null);
        };
        let kind = self.kind(&path, text);
        let kind = kind.map_or(FileKind::Document, |(kind, _)| kind);
        let shown = hover::hover(&checked, &path, (text.content(), offset), kind);
        written(shown.map(|value| Hover {
            contents: HoverContents::Markup(MarkupContent {
                kind: MarkupKind::Markdown,
                value,
            }),
            range: None,
        }))
    }

    fn definition(&mut self, params: Value) -> Result<Value, Failure> {
        let params: <GotoDefinition as lsp_types::request::Request>::Params = read(params)?;
        let at = params.text_document_position_params;
        let (path, offset) = self.cursor(&at.text_document, at.position)?;
        let checked = self.fresh(&path)?;
        let encoding = self.client.encoding;
        written(navigation::definition(&checked, (&path, offset), encoding))
    }

    fn references(&mut self, params: Value) -> Result<Value, Failure> {
        let params: <References as lsp_types::request::Request>::Params = read(params)?;
        let at = params.text_document_position;
        let (path, offset) = self.cursor(&at.text_document, at.position)?;
        let checked = self.fresh(&path)?;
        let with_definition = params.context.include_declaration;
        let encoding = self.client.encoding;
        written(navigation::references(
            &checked,
            (&path, offset),
            with_definition,
            encoding,
        ))
    }

    fn prepare_rename(&mut self, params: Value) -> Result<Value, Failure> {
        let at: lsp_types::TextDocumentPositionParams = read(params)?;
        let (path, offset) = self.cursor(&at.text_document, at.position)?;
        let checked = self.fresh(&path)?;
        let renamed = rename::renamed(&checked, (&path, offset), self.client.encoding);
        written(renamed.map(
            |(range, placeholder)| PrepareRenameResponse::RangeWithPlaceholder {
                range,
                placeholder,
            },
        ))
    }

    fn rename(&mut self, params: Value) -> Result<Value, Failure> {
        let params: lsp_types::RenameParams = read(params)?;
        let at = params.text_document_position;
        let (path, offset) = self.cursor(&at.text_document, at.position)?;
        let checked = self.fresh(&path)?;
        let encoding = self.client.encoding;
        let edit = rename::rename(&checked, (&path, offset), &params.new_name, encoding);
        written(edit.map_err(|message| (ErrorCode::InvalidParams, message))?)
    }

    fn actions(&mut self, params: Value) -> Result<Value, Failure> {
        let params: lsp_types::CodeActionParams = read(params)?;
        let (path, start) = self.cursor(&params.text_document, params.range.start)?;
        let (_, end) = self.cursor(&params.text_document, params.range.end)?;
        let checked = self.fresh(&path)?;
        let encoding = self.client.encoding;
        written(actions::actions(&checked, &path, (start, end), encoding))
    }

    fn lenses(&mut self, params: Value) -> Result<Value, Failure> {
        let params: lsp_types::CodeLensParams = read(params)?;
        let path = path_of(&params.text_document.uri).ok_or_else(no_project)?;
        let checked = self.fresh(&path)?;
        written(lens::lenses(&checked, &path, self.client.encoding))
    }

    /// Path of a document, and byte offset of a position in it.
    fn cursor(
        &self,
        document: &TextDocumentIdentifier,
        position: Position,
    ) -> Result<(PathBuf, usize), Failure> {
        let path = path_of(&document.uri).ok_or_else(no_project)?;
        let text = self.open.get(&path).ok_or_else(no_project)?;
        let offset = text.offset(position, self.client.encoding);
        Ok((path, offset))
    }

    /// Kind of a document, and the outline of its project's gateway.yaml. `None` for a file that
    /// does not belong to a project.
    fn kind(&self, path: &Path, text: &Text) -> Option<(FileKind, Option<Outline>)> {
        let gateway = self.gateway(path);
        let known = gateway.as_ref();
        let known = known.map(|(folder, outline)| (&**folder, outline));
        let kind = project::kind_of(path, text.content(), known, self.last(path))?;
        Some((kind, gateway.map(|(_, outline)| outline)))
    }

    /// Last compilation of a document's project. It may be older than the texts.
    fn last(&self, path: &Path) -> Option<&Checked> {
        let project = self.projects.get(&key_of(&input_of(path, &self.open)?))?;
        project.checked.as_ref().map(|(_, checked)| &**checked)
    }

    /// Folder and outline of the gateway.yaml of a document's project. `None` for a document
    /// without a project.
    fn gateway(&self, path: &Path) -> Option<(PathBuf, Outline)> {
        let Input::Project(folder) = input_of(path, &self.open)? else {
            return None;
        };
        let file = folder.join(GATEWAY_FILE);
        let on_disk = || {
            let (_, known) = self.projects.get(&folder)?.checked.as_ref()?;
            let id = known.file_at(&file)?;
            Some(known.text_of(id))
        };
        let text = self.open.get(&file).cloned().or_else(on_disk)?;
        Some((folder, Outline::of(text.content())))
    }

    // --- Messages ---

    /// Requests reports about changed files from the client.
    fn watch_files(&mut self) -> anyhow::Result<()> {
        if !self.client.watches_files {
            return Ok(());
        }
        self.requests += 1;
        let params = serde_json::json!({"registrations": [{
            "id": "files", "method": DidChangeWatchedFiles::METHOD,
            "registerOptions": {"watchers": [{"globPattern": "**/*.{yaml,yml,json}"}]},
        }]});
        let id = RequestId::from(self.requests);
        self.send(Request::new(
            id,
            "client/registerCapability".to_owned(),
            params,
        ))
    }

    fn notify<N: lsp_types::notification::Notification>(
        &self,
        params: N::Params,
    ) -> anyhow::Result<()> {
        self.send(Notification::new(N::METHOD.to_owned(), params))
    }

    fn send(&self, message: impl Into<Message>) -> anyhow::Result<()> {
        self.connection.sender.send(message.into())?;
        Ok(())
    }
}

impl Project {
    /// True if a text has changed since the last job for the checker.
    fn has_changed(&self) -> bool {
        self.sent != Some(self.revision)
    }
}

/// Key of a project: its folder, or the path of its document.
fn key_of(input: &Input) -> PathBuf {
    match input {
        Input::Project(path) | Input::Document(path) => path.clone(),
    }
}

fn no_project() -> Failure {
    let message = "the document is not open, or belongs to no project".to_owned();
    (ErrorCode::InvalidParams, message)
}

fn read<P: DeserializeOwned>(params: Value) -> Result<P, Failure> {
    serde_json::from_value(params).map_err(|error| (ErrorCode::InvalidParams, error.to_string()))
}

fn written(result: impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(result).map_err(|error| (ErrorCode::InternalError, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sources::syntax::Limits;

    fn server(connection: &Connection, now_s: fn() -> u64) -> Server<'_> {
        let client = Client::of(&serde_json::from_value(json!({"capabilities": {}})).unwrap());
        let limits = Limits::default();
        Server::new(connection, client, Options { limits, now_s }).unwrap()
    }

    #[test]
    fn panic_in_a_request_is_an_error_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(GATEWAY_FILE);
        let uri = uri_of(&path).unwrap();
        let (connection, editor) = Connection::memory();
        let mut server = server(&connection, || panic!("simulated bug"));
        let document = json!({"uri": uri, "languageId": "yaml", "version": 1, "text": "lis"});
        server.opened(serde_json::from_value(json!({"textDocument": document})).unwrap());
        let at = json!({"textDocument": {"uri": uri}, "position": {"line": 0, "character": 3}});
        let mut answer = |method: &str| {
            let request = Request::new(RequestId::from(1), method.to_owned(), &at);
            server.answer(request).unwrap();
            match editor.receiver.try_recv().unwrap() {
                Message::Response(response) => response.response_result,
                other => panic!("{other:?}"),
            }
        };
        // Hover compiles the project, which reads the clock. Completion does not.
        let error = answer(HoverRequest::METHOD).unwrap_err();
        assert_eq!(error.code, ErrorCode::InternalError as i32);
        let items = answer(Completion::METHOD).unwrap();
        assert_eq!(items[0]["label"], "listeners");
    }

    #[test]
    fn panic_in_a_notification_closes_its_document() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(GATEWAY_FILE);
        let uri = uri_of(&path).unwrap();
        let (connection, editor) = Connection::memory();
        let mut server = server(&connection, || 0);
        let document = json!({"uri": uri, "languageId": "yaml", "version": 1, "text": "a: 1\n"});
        let opened = json!({"textDocument": document});
        let opened = Notification::new(DidOpenTextDocument::METHOD.to_owned(), opened);
        server.notice(opened.clone(), Server::heed).unwrap();
        let sound = server.projects[folder.path()].revision;
        let bug = server.notice(opened.clone(), |_, _, _| panic!("simulated bug"));
        bug.unwrap();
        assert!(server.open.is_empty());
        assert!(server.projects[folder.path()].revision > sound);
        let logged = format!("{:?}", editor.receiver.try_recv().unwrap());
        assert!(logged.contains(LogMessage::METHOD), "{logged}");
        assert!(logged.contains("bug of gwc"), "{logged}");
        server.notice(opened, Server::heed).unwrap();
        assert!(server.open.contains_key(&path));
    }

    #[test]
    fn result_of_older_texts_answers_no_request() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(GATEWAY_FILE);
        let uri = uri_of(&path).unwrap();
        let (connection, _editor) = Connection::memory();
        let mut server = server(&connection, || 0);
        let text = |server: &mut Server<'_>| {
            let checked = server.fresh(&path).unwrap();
            let file = checked.file_at(&path).unwrap();
            checked.text_of(file).content().to_owned()
        };
        let document = json!({"uri": uri, "languageId": "yaml", "version": 1, "text": "a: 1\n"});
        server.opened(serde_json::from_value(json!({"textDocument": document})).unwrap());
        server.check_next().unwrap();
        let outcome = server.outcomes.recv().unwrap();
        server.checked(outcome).unwrap();
        assert_eq!(text(&mut server), "a: 1\n");
        // The checker has the job, but its result has not arrived.
        let change = json!({
            "textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": "b: 2\n"}],
        });
        server.changed(serde_json::from_value(change).unwrap());
        server.check_next().unwrap();
        assert_eq!(text(&mut server), "b: 2\n");
        let outcome = server.outcomes.recv().unwrap();
        server.checked(outcome).unwrap();
        assert_eq!(text(&mut server), "b: 2\n");
    }
}
