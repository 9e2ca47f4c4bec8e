//! Minimal OpenAPI reader, sufficient to call every operation of a document. Independent of the
//! reader under test.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// OpenAPI document, with the files that its references name.
pub struct Document {
    file: PathBuf,
    files: HashMap<PathBuf, Rc<Value>>,
}

/// Operation, with everything that a client needs to call it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// `operationId` of the operation.
    pub id: Option<String>,
    /// Method, in upper case.
    pub method: String,
    /// Path template: the key under `paths`.
    pub template: String,
    /// Credentials of the first alternative of the security requirement.
    pub credentials: Vec<Credential>,
    /// Security requirement, of the operation or of the document.
    pub security: Value,
    /// True if a request without credentials is permitted.
    pub is_anonymous: bool,
}

/// Security scheme that a requirement of a document names.
#[derive(Clone, Debug)]
pub struct RequiredScheme {
    /// Definition of the scheme.
    pub scheme: Value,
    /// Scopes or roles of all requirements that name the scheme.
    pub scopes: BTreeSet<String>,
}

/// Location and kind of a credential in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Field with this name.
    Header(String),
    /// Query parameter with this name.
    Query(String),
    /// Cookie with this name.
    Cookie(String),
    /// `Authorization: Basic`.
    Basic,
    /// `Authorization: Bearer`.
    Bearer,
}

// === impl Document ===

impl Document {
    /// Opens a document. Its content is read later.
    #[must_use]
    pub fn open(file: &Path) -> Self {
        let file = file.canonicalize().expect("the document is there");
        Self {
            file,
            files: HashMap::new(),
        }
    }

    /// Version of OpenAPI that the document states.
    #[must_use]
    pub fn version(&mut self) -> String {
        let root = self.load(&self.file.clone());
        root["openapi"].as_str().unwrap_or_default().to_owned()
    }

    /// Security schemes that the document's requirements name, by name.
    ///
    /// # Panics
    /// If the document does not define one of the schemes.
    #[must_use]
    pub fn required_schemes(&mut self) -> BTreeMap<String, RequiredScheme> {
        let root = self.load(&self.file.clone());
        let schemes = self.schemes(&root);
        let operations = self.operations();
        let of_operations = operations.iter().map(|operation| &operation.security);
        let mut required: BTreeMap<String, RequiredScheme> = BTreeMap::new();
        for security in of_operations.chain([&root["security"]]) {
            let alternatives = security.as_array().into_iter().flatten();
            for (name, scopes) in alternatives.flat_map(object) {
                let scheme = schemes.get(name);
                let scheme = scheme.unwrap_or_else(|| panic!("no scheme `{name}`"));
                let one = required.entry(name.clone());
                let one = one.or_insert_with(|| RequiredScheme {
                    scheme: scheme.clone(),
                    scopes: BTreeSet::new(),
                });
                let scopes = scopes.as_array().into_iter().flatten();
                let scopes = scopes.filter_map(Value::as_str).map(str::to_owned);
                one.scopes.extend(scopes);
            }
        }
        required
    }

    /// All operations of the document, in document order.
    #[must_use]
    pub fn operations(&mut self) -> Vec<Operation> {
        let file = self.file.clone();
        let root = self.load(&file);
        let schemes = self.schemes(&root);
        let shared = root.get("security").cloned().unwrap_or(Value::Null);
        let mut operations = Vec::new();
        for (template, item) in object(&root["paths"]) {
            if !template.starts_with('/') {
                continue;
            }
            let (at, item) = self.resolve(&file, item);
            for method in METHODS {
                let Some(operation) = item.get(method) else {
                    continue;
                };
                let (_, operation) = self.resolve(&at, operation);
                let security = operation.get("security").unwrap_or(&shared);
                operations.push(Operation {
                    id: operation["operationId"].as_str().map(str::to_owned),
                    method: method.to_ascii_uppercase(),
                    template: template.clone(),
                    credentials: credentials(security, &schemes),
                    security: security.clone(),
                    is_anonymous: is_anonymous(security),
                });
            }
        }
        operations
    }

    fn schemes(&mut self, root: &Value) -> HashMap<String, Value> {
        let file = self.file.clone();
        let schemes = object(&root["components"]["securitySchemes"]);
        schemes
            .into_iter()
            .map(|(name, scheme)| (name.clone(), self.resolve(&file, scheme).1))
            .collect()
    }

    /// Follows references from a node. Returns the final node and its file.
    fn resolve(&mut self, file: &Path, node: &Value) -> (PathBuf, Value) {
        let (mut file, mut node) = (file.to_owned(), node.clone());
        for _ in 0..32 {
            let Some(reference) = node["$ref"].as_str().map(str::to_owned) else {
                return (file, node);
            };
            let (path, pointer) = reference.split_once('#').unwrap_or((&reference, ""));
            if !path.is_empty() {
                let folder = file.parent().expect("files lie in folders");
                let other = folder.join(path);
                file = other
                    .canonicalize()
                    .unwrap_or_else(|error| panic!("{}: {error}", other.display()));
            }
            let root = self.load(&file);
            node = root
                .pointer(&unescaped(pointer))
                .unwrap_or_else(|| panic!("{reference} leads nowhere"))
                .clone();
        }
        panic!("references without end in {}", file.display());
    }

    fn load(&mut self, file: &Path) -> Rc<Value> {
        if let Some(known) = self.files.get(file) {
            return Rc::clone(known);
        }
        let text = std::fs::read_to_string(file)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed: Value = if text.trim_start().starts_with('{') {
            serde_json::from_str(&text).expect("JSON")
        } else {
            let yaml = serde_yaml_ng::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            plain(yaml)
        };
        let parsed = Rc::new(parsed);
        self.files.insert(file.to_owned(), Rc::clone(&parsed));
        parsed
    }
}

/// True if an operation has no security requirement, or if one alternative of the requirement is
/// empty.
fn is_anonymous(security: &Value) -> bool {
    let alternatives = security.as_array().map(Vec::as_slice).unwrap_or_default();
    let is_empty = |one: &Value| one.as_object().is_some_and(Map::is_empty);
    alternatives.is_empty() || alternatives.iter().any(is_empty)
}

// === impl Operation ===

impl Operation {
    /// Key under which gwc lists the operation in the API `api`.
    #[must_use]
    pub fn key(&self, api: &str) -> String {
        match &self.id {
            Some(id) => format!("{api}/{id}"),
            None => format!("{} {api}:{}", self.method, self.template),
        }
    }

    /// Request path that matches the template. Each parameter has a generated value.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        let mut rest = self.template.as_str();
        let mut number = 0;
        while let Some((literal, after)) = rest.split_once('{') {
            let (_, behind) = after.split_once('}').expect("braces are balanced");
            path.push_str(&escaped(literal));
            path.push_str(&Self::value(number));
            number += 1;
            rest = behind;
        }
        path + &escaped(rest)
    }

    /// Generated value of a parameter. It differs from all literals in real documents.
    fn value(number: usize) -> String {
        format!("zq{number}xj")
    }

    /// Request head for the operation, with each of the operation's credentials.
    #[must_use]
    pub fn request(&self) -> String {
        let mut query: Vec<String> = Vec::new();
        let mut fields = String::new();
        for credential in &self.credentials {
            match credential {
                Credential::Header(name) => fields.push_str(&format!("{name}: k3y\n")),
                Credential::Query(name) => query.push(format!("{name}=k3y")),
                Credential::Cookie(name) => fields.push_str(&format!("cookie: {name}=k3y\n")),
                Credential::Basic => fields.push_str("authorization: Basic dTpw\n"),
                Credential::Bearer => fields.push_str("authorization: Bearer t0ken\n"),
            }
        }
        let mut target = self.path();
        for pair in query {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&pair);
        }
        let body = if matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") {
            "content-length: 0\n"
        } else {
            ""
        };
        format!(
            "{} {target} HTTP/1.1\nhost: e2e.test\n{fields}{body}",
            self.method
        )
    }
}

/// Percent-encodes a literal path segment, as a client does in a URL.
fn escaped(literal: &str) -> String {
    let mut text = String::new();
    for byte in literal.bytes() {
        match byte {
            0..=0x20 | 0x7F.. | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'|' => {
                text.push_str(&format!("%{byte:02X}"));
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

fn credentials(security: &Value, schemes: &HashMap<String, Value>) -> Vec<Credential> {
    let Some(first) = security.as_array().and_then(|all| all.first()) else {
        return Vec::new();
    };
    let mut all: Vec<Credential> = Vec::new();
    for (name, _) in object(first) {
        let scheme = &schemes[name];
        let named = || {
            scheme["name"]
                .as_str()
                .expect("keys have a name")
                .to_owned()
        };
        let of = |what: &str| {
            scheme[what]
                .as_str()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let credential = match (
            of("type").as_str(),
            of("in").as_str(),
            of("scheme").as_str(),
        ) {
            ("apikey", "header", _) => Credential::Header(named()),
            ("apikey", "query", _) => Credential::Query(named()),
            ("apikey", "cookie", _) => Credential::Cookie(named()),
            ("http", _, "basic") => Credential::Basic,
            ("http" | "oauth2" | "openidconnect", _, _) => Credential::Bearer,
            other => panic!("scheme `{name}` is of an unknown type: {other:?}"),
        };
        if !all.contains(&credential) {
            all.push(credential);
        }
    }
    all
}

fn object(value: &Value) -> Vec<(&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter).collect()
}

/// Converts YAML to JSON. Keys become strings.
fn plain(value: serde_yaml_ng::Value) -> Value {
    use serde_yaml_ng::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(value) => value.into(),
        Yaml::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Yaml::String(text) => text.into(),
        Yaml::Sequence(items) => items.into_iter().map(plain).collect(),
        Yaml::Mapping(entries) => {
            let text = |key: Yaml| match key {
                Yaml::String(text) => text,
                Yaml::Number(number) => number.to_string(),
                other => format!("{other:?}"),
            };
            let entries = entries
                .into_iter()
                .map(|(key, value)| (text(key), plain(value)));
            Value::Object(entries.collect())
        }
        Yaml::Tagged(tagged) => plain(tagged.value),
    }
}

/// Decodes the percent-encoding of a JSON pointer in a URL's fragment.
fn unescaped(pointer: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = pointer.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).expect("pointers are text")
}
