#!/usr/bin/env python3
"""Posts the plan of a pull request as one comment, and rewrites that comment later.

    python3 comment.py comment.md

Runs in a workflow of the event `workflow_run`, which may write comments and runs no code of the
pull request. The file comes from a job that the pull request controls, so it is data: its size is
bounded, and markup that gwc never writes is disabled. The pull request is found by the commit that
GitHub names in the event, never by the file.

Environment: GITHUB_API_URL, GITHUB_REPOSITORY and GITHUB_EVENT_PATH (GitHub sets them), GH_TOKEN
with `pull-requests: write`. GWC_COMMENT_AUTHOR: the login that the token has. Default:
`github-actions[bot]`. GWC_RETRY_S: seconds before the first repetition. Default: 2.

Exit code: 0 if the comment is posted or there is nothing to post, otherwise 1. Messages on standard
output contain no text of the file or of a response.
"""

import json
import os
import re
import sys
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request

MARKER = "<!-- gwc plan -->"
# GitHub refuses a comment of more than 65,536 characters.
CHARS_MAX = 64_000
FILE_BYTES_MAX = 1 << 20
RESPONSE_BYTES_MAX = 32 << 20
PAGE = 100
PAGES_MAX = 100
ATTEMPTS = 4
TIMEOUT_S = 20
RETRY_AFTER_MAX_S = 60
CUT = "\n\n_The rest does not fit here: the job's log has the whole plan._\n"
# Tags that gwc writes. GitHub itself removes scripts and styles.
TAGS = re.compile(r"<(?!/?(?:details|summary|sub|br|b|code)>|!-- gwc plan -->)", re.IGNORECASE)
# Beginning of an HTML block (CommonMark 4.6), also inside a list or a quotation. Up to the next
# empty line, such a block has no code spans.
BLOCK = re.compile(r"[\s>*+\-\d.)]*<(?:/?(?:details|summary|sub|br|b|code)>|!--)", re.IGNORECASE)
# A bracket that begins a line and no link to a website. It could begin a definition of a link or of a
# footnote (GitHub's extension, which holds blocks), an alert or a task. gwc writes none of these.
BRACKET = re.compile(r"([\s>*+\-\d.)]*)\[(?![^\[\]]*\]\(https?://)")
# Second line of a table (GFM 4.10), also inside a list or a quotation. gwc writes no tables. In a
# cell, a `|` ends a code span, and the rest of the span would be markup.
TABLE = re.compile(r"(?=.*-)(?=.*[|:])[ >*+\-\d.)|:]+")
LINK = re.compile(r"\]\(https?://[^\s()<>]*\)")
# Any other destination of a link. It could contain the backtick that opens a code span.
OTHER_LINK = re.compile(r"\]\((?!https?://[^\s()<>]*\))")
# Text that GitHub turns into a link, up to a blank or `<` (GFM 6.9).
AUTOLINK = re.compile(r"://|www\.", re.IGNORECASE)


class Failed(Exception):
    """A failure with a message for the job's log."""


class Later(Failed):
    """A failure that may be over after some seconds."""

    def __init__(self, message, wait_s=None):
        super().__init__(message)
        self.wait_s = wait_s


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: the token is for one host only."""

    def redirect_request(self, *_):
        return None


class Api:
    """GitHub's REST interface of one repository."""

    def __init__(self, environment):
        self.base = environment["GITHUB_API_URL"].rstrip("/")
        self.repository = environment["GITHUB_REPOSITORY"]
        self.token = environment["GH_TOKEN"]
        self.opener = urllib.request.build_opener(NoRedirects)

    def call(self, method, path, body=None):
        """Sends a request, and returns the JSON of the response."""
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "User-Agent": "gwc-plan-comment",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        if data is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self.base}/repos/{self.repository}{path}"
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        try:
            with self.opener.open(request, timeout=TIMEOUT_S) as response:
                content = response.read(RESPONSE_BYTES_MAX + 1)
        except urllib.error.HTTPError as error:
            raise refusal(error.code, error.headers, method) from None
        except OSError:
            raise Later("GitHub cannot be reached") from None
        if len(content) > RESPONSE_BYTES_MAX:
            raise Failed("GitHub's response is too long")
        try:
            return json.loads(content)
        except ValueError:
            raise Later("GitHub's response is not JSON") from None

    def pages(self, path):
        """All items of a list."""
        mark = "&" if "?" in path else "?"
        for page in range(1, PAGES_MAX + 1):
            items = self.call("GET", f"{path}{mark}per_page={PAGE}&page={page}")
            if not isinstance(items, list):
                raise Failed("GitHub's response is not a list")
            yield from items
            if len(items) < PAGE:
                return


def refusal(status, headers, method):
    """Failure for a response with an error status."""
    wait = headers.get("Retry-After", "")
    wait_s = min(int(wait), RETRY_AFTER_MAX_S) if wait.isdigit() else None
    is_limit = status == 429 or status == 403 and (wait or headers.get("X-RateLimit-Remaining") == "0")
    if status >= 500 or is_limit:
        return Later(f"GitHub answers {status}", wait_s)
    if status in (401, 403):
        need = "pull-requests: write" if method != "GET" else "pull-requests: read"
        return Failed(f"GitHub answers {status}: the job needs the permission `{need}`")
    return Failed(f"GitHub answers {status}")


def pull_requests(api, run):
    """Numbers of the open pull requests whose head is the commit of the run."""
    head = run["head_repository"]
    query = urllib.parse.urlencode(
        {"state": "open", "head": f"{head['owner']['login']}:{run['head_branch']}"}
    )
    numbers = []
    for pull in api.pages(f"/pulls?{query}"):
        own = pull["head"]
        is_same = own["sha"] == run["head_sha"] and (own["repo"] or {}).get("id") == head["id"]
        if is_same and pull["base"]["repo"]["full_name"] == api.repository:
            numbers.append(int(pull["number"]))
    return numbers


def post(api, number, text, author):
    """Rewrites the comment, or writes the first one."""
    for comment in api.pages(f"/issues/{number}/comments"):
        # Everybody may write the marker; only comments of the token's owner are rewritten.
        is_own = (comment.get("user") or {}).get("login") == author
        if is_own and (comment.get("body") or "").startswith(MARKER):
            if comment["body"] == text:
                return "is up to date"
            api.call("PATCH", f"/issues/comments/{int(comment['id'])}", {"body": text})
            return "is rewritten"
    api.call("POST", f"/issues/{number}/comments", {"body": text})
    return "is written"


def shown(text):
    """The text of a plan without markup and characters that gwc never writes."""
    text = "".join(c for c in text if c == "\n" or unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs"))
    text = text.replace("\u2028", "").replace("\u2029", "")
    text = text if text.startswith(MARKER) else f"{MARKER}\n{text}"
    lines, fence, before, left, is_html = [], None, "", CHARS_MAX, False
    for line in text.split("\n"):
        # No step shortens a line. The time of some steps grows faster than the length of a line.
        if len(line) >= left:
            left = -1
            break
        # Only spaces and tabs are blank (CommonMark 2.1), other spaces are text.
        is_html = bool(line.strip(" \t")) and (is_html or bool(BLOCK.match(line))) and not fence
        if line == MARKER and not lines:
            # Any later marker is text of the plan, and ends no block.
            is_html = False
        elif is_html:
            line = without_definition(without_markup(line))
        elif fence:
            fence = None if re.fullmatch(f" {{0,3}}{fence}`*[ \t]*", line) else fence
        elif before.strip(" \t") == "" and (opened := re.fullmatch(r"(`{3,})[a-z]*", line)):
            fence = opened[1]
        elif TABLE.fullmatch(line):
            line = line.replace("|", "&#124;").replace(":", "&#58;")
        else:
            line = without_definition(outside_of_code(line))
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
        before = line
    # An open block would hide what follows it: the line about the rest, and GitHub's own text.
    opened = sum(line.count("<details>") - line.count("</details>") for line in lines)
    ends = [fence] if fence else []
    if left < 0:
        ends += ["\n</details>"] * max(0, min(opened, 9)) + [CUT]
    lines += ends
    return "\n".join(lines)


def without_definition(line):
    """A line that begins no definition of a link or a footnote, no alert and no task."""
    bracket = BRACKET.match(line)
    return f"{bracket[1]}&#91;{line[bracket.end():]}" if bracket else line


def outside_of_code(line):
    """A line with mentions, images and unknown tags disabled, except in code spans."""
    parts = re.split(r"((?<!`)(`+)(?!`).*?(?<!`)\2(?!`))", line)
    # The split yields text, span and delimiter in turn.
    kept = []
    for index, part in enumerate(parts):
        if index % 3 == 0:
            part = without_markup(part)
            # A link at the end of the text takes the backtick that follows.
            end = max(part.rfind(" "), part.rfind("\t"), part.rfind("<")) + 1
            if index + 1 < len(parts) and AUTOLINK.search(part, end):
                part += "<!-- -->"
        if index % 3 != 2:
            kept.append(part)
    return "".join(kept)


def without_markup(text):
    """Text outside of code spans, with mentions, images and unknown tags disabled."""
    # An entity could spell a mention, and a single backtick could pair with another line's.
    text = TAGS.sub("&lt;", text.replace("&", "&amp;")).replace("`", "&#96;")
    # Tildes could open a fence of code (CommonMark 4.5), which a later line would close.
    text = text.replace("~", "&#126;")
    text = LINK.sub(lambda link: link[0].replace("@", "%40"), text)
    text = OTHER_LINK.sub("]&#40;", text)
    text = text.replace("@", "@<!-- -->").replace("![", "!\\[")
    return text[:-1] + "&#92;" if text.endswith("\\") else text


def main():
    environment = os.environ
    with open(environment["GITHUB_EVENT_PATH"], encoding="utf-8") as file:
        run = json.load(file)["workflow_run"]
    if run["event"] != "pull_request":
        print("the run is not about a pull request: nothing to post")
        return 0
    try:
        with open(sys.argv[1], "rb") as file:
            text = file.read(FILE_BYTES_MAX).decode("utf-8", "replace")
    except FileNotFoundError:
        text = ""
    if not text.strip():
        print("the run has no plan: nothing to post")
        return 0
    text = shown(text)
    api = Api(environment)
    author = environment.get("GWC_COMMENT_AUTHOR", "github-actions[bot]")
    wait_s = float(environment.get("GWC_RETRY_S", "2"))
    for attempt in range(1, ATTEMPTS + 1):
        try:
            # After a failure the list is read again, because the comment may have been written.
            numbers = pull_requests(api, run)
            if not numbers:
                print("no open pull request has this commit: nothing to post")
            for number in numbers:
                print(f"the comment on pull request {number} {post(api, number, text, author)}")
            return 0
        except Later as failed:
            if attempt == ATTEMPTS:
                print(f"the comment is not posted: {failed}")
                return 1
            time.sleep(wait_s * 2 ** (attempt - 1) if failed.wait_s is None else failed.wait_s)
        except Failed as failed:
            print(f"the comment is not posted: {failed}")
            return 1
        except (KeyError, TypeError, ValueError):
            print("the comment is not posted: a response of GitHub lacks an expected value")
            return 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
