//! Conversion of Swagger 2.0 `securityDefinitions`.

use diag::NodeId;

use super::Lift;
use super::nodes::Map;

/// Names of OAuth flows in 2.0 and in 3.0.
const FLOWS: &[(&str, &str)] = &[
    ("implicit", "implicit"),
    ("password", "password"),
    ("application", "clientCredentials"),
    ("accessCode", "authorizationCode"),
];

impl Lift<'_> {
    pub(super) fn security_schemes(&mut self, node: NodeId) -> NodeId {
        if !self.nodes.is_map(node) {
            return node;
        }
        let mut lifted = Map::new(self.nodes.span(node));
        for entry in self.nodes.entries(node) {
            let scheme = self.security_scheme(entry.value);
            lifted.put(&entry.key, entry.key_span, scheme);
        }
        self.nodes.map(lifted)
    }

    fn security_scheme(&mut self, node: NodeId) -> NodeId {
        match self.nodes.string_of(node, "type").as_deref() {
            Some("basic") => self.basic(node),
            Some("oauth2") => self.oauth2(node),
            _ => node,
        }
    }

    fn basic(&mut self, node: NodeId) -> NodeId {
        let mut lifted = Map::new(self.nodes.span(node));
        for entry in self.nodes.entries(node) {
            if &*entry.key == "type" {
                let at = self.nodes.span(entry.value);
                let http = self.nodes.text("http", at);
                let basic = self.nodes.text("basic", at);
                lifted.put("type", entry.key_span, http);
                lifted.put("scheme", entry.key_span, basic);
            } else {
                lifted.keep(&entry);
            }
        }
        self.nodes.map(lifted)
    }

    /// Converts an OAuth 2 flow. In 2.0 its fields are in the scheme itself. An unknown flow is
    /// copied, so that the structure check reports it as an unknown field.
    fn oauth2(&mut self, node: NodeId) -> NodeId {
        let mut lifted = Map::new(self.nodes.span(node));
        let mut flow = Map::new(self.nodes.span(node));
        let mut name = None;
        for entry in self.nodes.entries(node) {
            match &*entry.key {
                "flow" => name = Some((entry.key_span, entry.value)),
                "authorizationUrl" | "tokenUrl" | "scopes" => flow.keep(&entry),
                _ => lifted.keep(&entry),
            }
        }
        if let Some((key_span, value)) = name {
            let text = self.nodes.string(value).unwrap_or_default();
            let known = FLOWS.iter().find(|(old, _)| *old == text);
            let new = known.map_or(text.as_str(), |(_, new)| new);
            let at = self.nodes.span(value);
            let flow = self.nodes.map(flow);
            let mut flows = Map::new(at);
            flows.put(new, at, flow);
            let flows = self.nodes.map(flows);
            lifted.put("flows", key_span, flows);
        }
        self.nodes.map(lifted)
    }
}
