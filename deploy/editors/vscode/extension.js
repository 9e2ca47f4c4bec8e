// VS Code extension that starts `gwc lsp` for YAML and JSON files of the workspace.
'use strict';

const { workspace } = require('vscode');
const { LanguageClient, TransportKind } = require('vscode-languageclient/node');

let client;

function activate() {
  const command = workspace.getConfiguration('gwc').get('path', 'gwc');
  const server = { command, args: ['lsp'], transport: TransportKind.stdio };
  const documents = ['yaml', 'json'].map((language) => ({ scheme: 'file', language }));
  client = new LanguageClient('gwc', 'gwc', server, { documentSelector: documents });
  return client.start();
}

function deactivate() {
  return client?.stop();
}

module.exports = { activate, deactivate };
