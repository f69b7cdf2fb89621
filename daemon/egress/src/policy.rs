//! What a plugin may request: its allow-list, as rules of scheme, host, port, methods and path.
//!
//! [`Policy::check`] is a pure function of the URL as it will be sent. What a server could read
//! differently is refused: user information, a final dot in the host, and paths that leave the
//! prefix of the rule in one of the ways in which servers decode them. Names are compared here,
//! addresses only after resolution ([`Policy::check_address`]), since a name may lead anywhere.
//!
//! Invariant: every refusal names the lines of TOML that would allow the request, if any would.

use crate::address::{Network, Networks};
use crate::error::{Denied, RuleError};
use crate::limits::RateLimit;
use crate::oauth::TokenSettings;
use crate::pace::Terms;
use crate::path::{PathError, PathPrefix};
use crate::secrets::{SecretBinding, SecretKind, SecretValue};
use reqwest::{Method, Url};
use std::fmt;
use std::net::IpAddr;

/// Longest URL that is sent. Servers accept 8,000 bytes at least (RFC 9110, section 4.1).
pub const MAX_URL_BYTES: usize = 8000;

/// Maximum number of rules of a plugin; each request compares with all of them. The reader of the
/// configuration must refuse more.
pub const MAX_RULES: usize = 100;

/// Characters that an error quotes of a text that is not a URL.
const QUOTED_CHARS: usize = 200;

/// The allow-list of a plugin. Without a rule, everything is refused.
#[derive(Clone, Debug)]
pub struct Policy {
    plugin: String,
    rules: Vec<Rule>,
    /// Secrets of the plugin by name; some may be in no rule.
    secrets: Vec<(String, SecretValue)>,
}

/// One entry of an allow-list: `[[plugins.NAME.egress]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    origin: RuleOrigin,
    path: PathPrefix,
    methods: Vec<Method>,
    networks: Networks,
    secrets: Vec<SecretBinding>,
    /// For token endpoints: their requests contain secrets although none is bound.
    secrets_in_body: bool,
    /// How many requests the host takes.
    rate: Option<RateLimit>,
    honours_idempotency_key: bool,
}

/// Scheme, host and port of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RuleOrigin {
    scheme: Scheme,
    host: HostPattern,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// Which hosts a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    /// This name or address, in the form that the URL standard gives it.
    Exact(String),
    /// `*.example.org`: every name that ends in `.example.org`, with one label or more before it.
    /// Not `example.org` itself.
    Below(String),
}

impl Policy {
    /// The allow-list of a plugin. The reader of the configuration must refuse more than
    /// [`MAX_RULES`].
    pub fn new(plugin: impl Into<String>, rules: Vec<Rule>) -> Self {
        Self { plugin: plugin.into(), rules, secrets: Vec::new() }
    }

    /// The allow-list with the secrets of the plugin, also those that no rule uses: they are
    /// removed from responses too.
    #[must_use]
    pub fn with_secrets(self, secrets: Vec<(String, SecretValue)>) -> Self {
        Self { secrets, ..self }
    }

    /// The plugin.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The rules, in the order of the configuration.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether the operator configured a secret of this name. All that a plugin learns about
    /// secrets.
    pub fn has_secret(&self, name: &str) -> bool {
        self.rules.iter().flat_map(|rule| &rule.secrets).any(|binding| binding.name() == name)
            || self.secrets.iter().any(|(other, _)| other == name)
    }

    /// Names and kinds of the plugin's secrets, by name.
    pub fn secret_kinds(&self) -> impl Iterator<Item = (&str, SecretKind)> {
        self.secrets.iter().map(|(name, value)| {
            let kind = match value {
                SecretValue::Fixed(_) => SecretKind::Fixed,
                SecretValue::Token(_) => SecretKind::AccessToken,
            };
            (name.as_str(), kind)
        })
    }

    /// Every secret, bound or not; a bound one may come twice.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretValue> {
        let bound = self.rules.iter().flat_map(|rule| &rule.secrets).map(SecretBinding::value);
        bound.chain(self.secrets.iter().map(|(_, value)| value))
    }

    /// The first rule that allows a request.
    ///
    /// # Errors
    /// [`Denied`] by the rule that comes closest, or because the URL cannot be sent at all.
    pub fn check(&self, method: &Method, url: &Url) -> Result<&Rule, Denied> {
        check_form(url)?;
        let mut nearest: Option<(&Rule, Mismatch)> = None;
        for rule in &self.rules {
            match rule.mismatch(method, url) {
                None => return Ok(rule),
                Some(mismatch) if nearest.as_ref().is_none_or(|(_, other)| mismatch > *other) => {
                    nearest = Some((rule, mismatch));
                }
                Some(_) => {}
            }
        }
        Err(self.denied(nearest, method, url))
    }

    fn denied(&self, nearest: Option<(&Rule, Mismatch)>, method: &Method, url: &Url) -> Denied {
        let (quoted, host) = (quote(url), url.host_str().unwrap_or_default());
        // Nothing is named that the reader of the configuration would refuse, such as a method or
        // path that cannot be allowed.
        let new_entry = |path: &str| {
            let base = format!("{}{path}", origin_text(url));
            Rule::new(&base, &[method.as_str()], &[]).ok()?;
            Some(format!("[[plugins.{}.egress]]\nurl = \"{base}\"\nmethods = [\"{method}\"]", self.plugin))
        };
        let (code, message, toml) = match nearest {
            None | Some((_, Mismatch::Host)) => {
                ("egress-host-not-allowed", format!("no egress rule allows the host `{host}`"), new_entry(""))
            }
            Some((rule, Mismatch::Scheme)) => (
                "egress-scheme-not-allowed",
                format!("the egress rule for `{}` does not allow the scheme `{}`", rule.origin, url.scheme()),
                new_entry(rule.path.as_str()),
            ),
            Some((rule, Mismatch::Port)) => (
                "egress-port-not-allowed",
                format!("the egress rule for `{}` does not allow the port of {quoted}", rule.origin),
                new_entry(rule.path.as_str()),
            ),
            Some((rule, Mismatch::Path)) => (
                "egress-path-not-allowed",
                format!("the egress rule for `{rule}` does not allow the path of {quoted}"),
                new_entry(url.path()),
            ),
            Some((rule, Mismatch::AmbiguousPath)) => (
                "egress-path-ambiguous",
                format!("a server could read the path of {quoted} as one outside of `{rule}`"),
                None,
            ),
            Some((rule, Mismatch::Method)) => {
                let methods = rule.methods.iter().chain([method]).map(|method| format!("\"{method}\""));
                let methods = methods.collect::<Vec<_>>().join(", ");
                let toml = read_method(method.as_str()).ok().map(|_| {
                    format!("methods = [{methods}]  # in [[plugins.{}.egress]] with url = \"{rule}\"", self.plugin)
                });
                (
                    "egress-method-not-allowed",
                    format!("the egress rule for `{rule}` does not allow the method `{method}`"),
                    toml,
                )
            }
        };
        Denied { code, message, toml }
    }

    /// Checks an address to which a request is about to be sent. `networks` is [`Rule::networks`],
    /// or fewer.
    ///
    /// # Errors
    /// [`Denied`] if the address is in another network.
    pub fn check_address(&self, rule: &Rule, networks: Networks, host: &str, address: IpAddr) -> Result<(), Denied> {
        let network = Network::of(address);
        if networks.contains(network) {
            return Ok(());
        }
        let (code, name) = ("egress-network-not-allowed", network.name());
        if network == Network::Public {
            let message = format!(
                "`{host}` is {address}, on the internet: a secret is sent there over https only, not over http"
            );
            return Err(Denied { code: "egress-secret-in-clear", message, toml: None });
        }
        let message = format!("`{host}` is {address}, which is in the network `{name}`");
        let toml = network.is_allowable().then(|| {
            let names = rule.networks.with(network).allowed_names().map(|name| format!("\"{name}\""));
            let names = names.collect::<Vec<_>>().join(", ");
            let entry = if rule.secrets_in_body { "the token endpoint" } else { "[[plugins.NAME.egress]]" };
            let entry = entry.replace("NAME", &self.plugin);
            format!("networks = [{names}]  # in {entry} with url = \"{rule}\"")
        });
        Err(Denied { code, message, toml })
    }
}

/// How far a rule is from allowing a request; a later one is nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mismatch {
    Host,
    Scheme,
    Port,
    Path,
    AmbiguousPath,
    Method,
}

impl Rule {
    /// Reads an entry. `url` is scheme, host, and optionally port and path prefix; without
    /// `methods`, GET and HEAD are allowed; `networks` are allowed in addition to the internet.
    ///
    /// # Errors
    /// [`RuleError`] if one of them cannot be used.
    pub fn new(url: &str, methods: &[&str], networks: &[&str]) -> Result<Self, RuleError> {
        let (origin, path) = read_base(url)?;
        let methods = if methods.is_empty() { &["GET", "HEAD"] } else { methods };
        let methods = methods.iter().map(|method| read_method(method)).collect::<Result<_, _>>()?;
        let networks = networks.iter().try_fold(Networks::PUBLIC, |networks, name| {
            let network = Network::allowable(name).ok_or_else(|| RuleError::Network((*name).to_owned()))?;
            Ok(networks.with(network))
        })?;
        Ok(Self {
            origin,
            path,
            methods,
            networks,
            secrets: Vec::new(),
            secrets_in_body: false,
            rate: None,
            honours_idempotency_key: false,
        })
    }

    /// The rule with what the operator says about the server.
    #[must_use]
    pub fn with_terms(self, rate: Option<RateLimit>, honours_idempotency_key: bool) -> Self {
        Self { rate, honours_idempotency_key, ..self }
    }

    /// What the rule says about a request to this URL.
    pub(crate) fn terms(&self, url: &Url) -> Terms {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        Terms { host: format!("{host}:{port}"), rate: self.rate, honours_idempotency_key: self.honours_idempotency_key }
    }

    /// The rule with a secret that the host puts into its requests.
    ///
    /// # Errors
    /// [`RuleError::Secret`] if the rule has a wildcard, since hosts below `*.example.org` may
    /// belong to others, or if it is for http and no network is allowed by name.
    pub fn with_secret(mut self, binding: SecretBinding) -> Result<Self, RuleError> {
        let refused = |reason| RuleError::Secret { name: binding.name().to_owned(), reason };
        if matches!(self.origin.host, HostPattern::Below(_)) {
            return Err(refused("needs one host: the names below a wildcard may belong to others"));
        }
        if self.origin.scheme == Scheme::Http && self.networks.without_public().allowed_names().next().is_none() {
            return Err(refused("needs https, or a network that is allowed by name"));
        }
        if let SecretValue::Token(source) = binding.value() {
            Self::for_tokens(source.settings())?;
        }
        self.secrets.push(binding);
        Ok(self)
    }

    /// The rule for a token endpoint.
    ///
    /// # Errors
    /// [`RuleError`], as for every rule.
    pub(crate) fn for_tokens(settings: &TokenSettings) -> Result<Self, RuleError> {
        let networks: Vec<&str> = settings.networks.iter().map(String::as_str).collect();
        let rule = Self::new(&settings.url, &["POST"], &networks)?;
        let is_clear = rule.origin.scheme == Scheme::Http && networks.is_empty();
        match &rule.origin.host {
            HostPattern::Exact(_) if !is_clear => Ok(Self { secrets_in_body: true, ..rule }),
            _ => Err(RuleError::Url(
                "of the token endpoint needs one host, and https or a network that is allowed by name",
            )),
        }
    }

    /// The networks to which its requests may go: those that the operator allowed, and the
    /// internet, unless a secret would go there over http.
    pub fn networks(&self) -> Networks {
        let sends_secret_in_clear =
            self.origin.scheme == Scheme::Http && (self.secrets_in_body || !self.secrets.is_empty());
        if sends_secret_in_clear { self.networks.without_public() } else { self.networks }
    }

    /// The secrets that the host puts into its requests.
    pub fn secrets(&self) -> &[SecretBinding] {
        &self.secrets
    }

    /// The methods that it allows.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().map(Method::as_str)
    }

    /// What the rule does not allow, in the order in which it is compared.
    fn mismatch(&self, method: &Method, url: &Url) -> Option<Mismatch> {
        if !self.origin.host.matches(url.host_str().unwrap_or_default()) {
            return Some(Mismatch::Host);
        }
        if self.origin.scheme.as_str() != url.scheme() {
            return Some(Mismatch::Scheme);
        }
        if url.port_or_known_default() != Some(self.origin.port) {
            return Some(Mismatch::Port);
        }
        match self.path.check(url.path()) {
            Err(PathError::Outside) => Some(Mismatch::Path),
            Err(PathError::Ambiguous) => Some(Mismatch::AmbiguousPath),
            Ok(()) => (!self.methods.contains(method)).then_some(Mismatch::Method),
        }
    }
}

/// The `url` of the entry.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin, self.path.as_str())
    }
}

impl fmt::Display for RuleOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (wildcard, host) = match &self.host {
            HostPattern::Exact(host) => ("", host),
            HostPattern::Below(host) => ("*.", host),
        };
        write!(f, "{}://{wildcard}{host}", self.scheme.as_str())?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            HostPattern::Exact(exact) => exact == host,
            HostPattern::Below(parent) => {
                let label = host.strip_suffix(parent.as_str()).and_then(|rest| rest.strip_suffix('.'));
                label.is_some_and(|label| !label.is_empty())
            }
        }
    }
}

/// Parses the URL of a request.
///
/// # Errors
/// [`Denied`] with `egress-url-invalid`.
pub fn parse_url(text: &str) -> Result<Url, Denied> {
    if text.len() > MAX_URL_BYTES {
        return Err(invalid(format!("the URL has more than {MAX_URL_BYTES} bytes")));
    }
    let url = Url::parse(text).map_err(|error| {
        let text: String = text.chars().take(QUOTED_CHARS).collect();
        invalid(format!("{text:?} is not a URL: {error}"))
    })?;
    check_form(&url)?;
    Ok(url)
}

/// Refuses URLs that are never sent, whatever is allowed. Everything else about hosts (case,
/// Punycode, numbers in octal, in hexadecimal or with missing parts) has one form in a parsed URL.
fn check_form(url: &Url) -> Result<(), Denied> {
    let refused = |code, message| Err(Denied { code, message, toml: None });
    if !matches!(url.scheme(), "http" | "https") {
        return refused("egress-scheme-unknown", format!("`{}` is not a scheme of HTTP", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let message = "a URL must not contain a user name or password; bind a secret instead".to_owned();
        return refused("egress-user-info", message);
    }
    let host = url.host_str().unwrap_or_default();
    if host.is_empty() || host.starts_with('.') || host.ends_with('.') || host.contains("..") {
        return Err(invalid(format!("the host `{host}` must not have an empty label")));
    }
    if host.contains(['*', '%']) {
        return Err(invalid(format!("the host `{host}` must be a name or an address")));
    }
    if url.port() == Some(0) {
        return Err(invalid("the port 0 does not exist".to_owned()));
    }
    Ok(())
}

fn invalid(message: String) -> Denied {
    Denied { code: "egress-url-invalid", message, toml: None }
}

/// Scheme, host and port, without the default port.
fn origin_text(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// A URL for an error: no query, which may contain a secret or a name. [`Denied`] cuts it when it
/// is shown, after secrets were removed.
pub(crate) fn quote(url: &Url) -> String {
    format!("`{}{}`", origin_text(url), url.path())
}

fn read_base(text: &str) -> Result<(RuleOrigin, PathPrefix), RuleError> {
    let url = Url::parse(text).map_err(|_| RuleError::Url("must be like `https://api.example.org/v3`"))?;
    let scheme = match url.scheme() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(RuleError::Url("must begin with `https://` or `http://`")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(RuleError::Url("must not contain a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(RuleError::Url("must not have a query or fragment"));
    }
    let host = url.host_str().unwrap_or_default();
    let pattern = match host.strip_prefix("*.") {
        Some(parent) if !parent.contains('.') => {
            return Err(RuleError::Url("must have two labels or more after `*.`, such as `*.example.org`"));
        }
        Some(parent) => HostPattern::Below(parent.to_owned()),
        None => HostPattern::Exact(host.to_owned()),
    };
    let (HostPattern::Exact(name) | HostPattern::Below(name)) = &pattern;
    if name.contains('*') {
        return Err(RuleError::Url("may have `*` as its first label only"));
    }
    if name.is_empty() || name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return Err(RuleError::Url("must have a host without empty labels and without a final dot"));
    }
    let port = match url.port_or_known_default() {
        None | Some(0) => return Err(RuleError::Url("must have a port from 1 to 65535")),
        Some(port) => port,
    };
    let path = PathPrefix::new(url.path()).ok_or(RuleError::Url("has a path that servers read differently"))?;
    Ok((RuleOrigin { scheme, host: pattern, port }, path))
}

fn read_method(text: &str) -> Result<Method, RuleError> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let is_refused = matches!(text, "CONNECT" | "TRACE");
    Some(text)
        .filter(|_| is_word && !is_refused)
        .and_then(|text| Method::from_bytes(text.as_bytes()).ok())
        .ok_or_else(|| RuleError::Method(text.to_owned()))
}
