"""Editor for `gwc lsp`: the client of pygls, with the types of lsprotocol.

usage: editor.py GWC FOLDER

Starts the server over standard input and output, and prints the result of `initialize`. Then answers
one line with one line: `{"request": METHOD, "params": …}` with the result of the server, as the library reads it;
`{"notify": METHOD, "params": …}` with null; `{"await": NAME, "version": N}` with the diagnostics of a file of
FOLDER from the version on; `{"end": true}` with the exit code of the server after `shutdown` and `exit`.
"""
import asyncio, json, os, sys
from lsprotocol import converters, types
from pygls.lsp.client import BaseLanguageClient

CONVERTER = converters.get_converter()
GWC, FOLDER = sys.argv[1], sys.argv[2]

def uri(name): return "file://" + os.path.join(FOLDER, name)

def structured(method, params):
    """Parameters with the library's type, which checks them."""
    if params is None: return None
    if "textDocument" in params and "name" in params["textDocument"]:
        params["textDocument"]["uri"] = uri(params["textDocument"].pop("name"))
    return CONVERTER.structure(params, types.METHOD_TO_TYPES[method][2])

async def main():
    client = BaseLanguageClient("gwc-tests", "1")
    published = asyncio.Queue()
    newest = {}

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def on_diagnostics(params): published.put_nowait(params)

    def answer(value): print(json.dumps(CONVERTER.unstructure(value)), flush=True)

    await client.start_io(GWC, "lsp")
    answer(await client.initialize_async(types.InitializeParams(
        process_id=os.getpid(),
        capabilities=types.ClientCapabilities(text_document=types.TextDocumentClientCapabilities(
            publish_diagnostics=types.PublishDiagnosticsClientCapabilities(version_support=True))),
        workspace_folders=[types.WorkspaceFolder(uri="file://" + FOLDER, name="project")])))
    client.initialized(types.InitializedParams())
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        question = json.loads(line)
        try:
            if method := question.get("request"):
                result = await asyncio.wait_for(client.protocol.send_request_async(method, structured(method, question.get("params"))), 60)
                answer({"result": result})
            elif method := question.get("notify"):
                client.protocol.notify(method, structured(method, question.get("params")))
                answer(None)
            elif name := question.get("await"):
                while getattr(newest.get(uri(name)), "version", None) is None or newest[uri(name)].version < question["version"]:
                    params = await asyncio.wait_for(published.get(), 60)
                    newest[params.uri] = params
                answer(newest[uri(name)])
            else:
                await client.shutdown_async(None)
                client.exit(None)
                answer({"code": await asyncio.wait_for(client._server.wait(), 60)})
                return
        except Exception as error:
            answer({"error": repr(error)})

asyncio.run(main())
