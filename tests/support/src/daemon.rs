//! The daemon as an operator installs it: a configuration file, a plugin folder, a data folder, and
//! the program.
//!
//! A test describes it with [`Setup`], starts it any number of times on the same data, and queries
//! it over its socket. It is ready when it has notified systemd.

use crate::disk::Disk;
use crate::http::{Connection, Response, request};
use crate::program::{self, Program};
use crate::{TIMEOUT, wait_until, webhook};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::time::timeout;

/// The name of the only channel.
pub const CHANNEL: &str = "shop";

/// An installation in a temporary folder.
pub struct Setup {
    folder: TempDir,
    /// `host:port` of the webhook address.
    pub http: String,
    /// `host:port` of the admin address.
    pub admin: String,
    graph_url: String,
    clock_url: Option<String>,
    /// Further lines of `[admin]`.
    admin_toml: String,
    /// Further lines of `[http]`.
    http_toml: String,
    toml: String,
    environment: Vec<(String, String)>,
    /// A shell script that becomes the daemon, in a user namespace of its own.
    namespace_script: Option<String>,
}

impl Setup {
    /// Without plugins, sending to this Graph API (`http://host:port`).
    pub fn new(graph_url: &str) -> Self {
        let folder = TempDir::with_prefix("beadle-e2e-").unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let setup = Self {
            folder,
            http: free_address(),
            admin: free_address(),
            graph_url: graph_url.into(),
            clock_url: None,
            admin_toml: "open_api = true".into(),
            http_toml: String::new(),
            toml: String::new(),
            environment: Vec::new(),
            namespace_script: None,
        };
        for sub in [setup.plugins(), setup.data(), setup.conf_d()] {
            std::fs::create_dir_all(&sub).unwrap_or_else(|error| panic!("{}: {error}", sub.display()));
        }
        setup
    }

    /// Adds a plugin of the repository, with these lines in its table.
    #[must_use]
    pub fn plugin(self, name: &str, toml: &str) -> Self {
        self.plugin_as(name, name, toml)
    }

    /// Adds a plugin under another name.
    #[must_use]
    pub fn plugin_as(mut self, name: &str, built: &str, toml: &str) -> Self {
        self.put_plugin(name, &program::plugin(built));
        let _ = write!(self.toml, "[plugins.{name}]\n{toml}\n");
        self
    }

    /// Adds the plugin `probe` under this name; `settings` is the inside of a TOML table.
    #[must_use]
    pub fn probe(self, name: &str, settings: &str, toml: &str) -> Self {
        self.plugin_as(name, "probe", &format!("settings = {{ {settings} }}\n{toml}"))
    }

    /// Adds these tables to the configuration.
    #[must_use]
    pub fn toml(mut self, toml: &str) -> Self {
        let _ = writeln!(self.toml, "{toml}");
        self
    }

    /// Sets further lines of `[admin]`, which opens the API of its address otherwise.
    #[must_use]
    pub fn admin_toml(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.admin_toml);
        self
    }

    /// Sets further lines of `[http]`.
    #[must_use]
    pub fn http_toml(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.http_toml);
        self
    }

    /// Makes it follow the clock at this URL.
    #[must_use]
    pub fn clock(mut self, url: &str) -> Self {
        self.clock_url = Some(url.into());
        self
    }

    /// Starts the daemon in a user namespace of its own with this limit (`max_inotify_instances` or
    /// `max_inotify_watches` of `/proc/sys/user`), so that other programs of this user are not
    /// affected. `None` where such namespaces are not allowed, as in most containers.
    pub fn inotify_limit(mut self, name: &str, limit: u32) -> Option<Self> {
        let [program, arguments @ ..] = NAMESPACE;
        let allowed = std::process::Command::new(program).args(arguments).arg("true").output();
        if !allowed.is_ok_and(|output| output.status.success()) {
            return None;
        }
        self.namespace_script = Some(format!("echo {limit} > /proc/sys/user/{name}; exec \"$@\""));
        Some(self)
    }

    /// Puts the data folder on this disk.
    #[must_use]
    pub fn disk(mut self, disk: &Disk) -> Self {
        self.environment.extend(disk.environment());
        self
    }

    /// Copies a file into the plugin folder under a temporary name and renames it, as an operator
    /// would.
    pub fn put_plugin(&self, name: &str, wasm: &Path) {
        let (aside, there) = (self.plugins().join(format!(".{name}")), self.plugins().join(format!("{name}.wasm")));
        let put = std::fs::copy(wasm, &aside).and_then(|_| std::fs::rename(&aside, &there));
        put.unwrap_or_else(|error| panic!("{}: {error}", there.display()));
    }

    /// The same for bytes.
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) {
        let (aside, there) = (self.plugins().join(format!(".{name}")), self.plugin_file(name));
        let put = std::fs::write(&aside, bytes).and_then(|()| std::fs::rename(&aside, &there));
        put.unwrap_or_else(|error| panic!("{}: {error}", there.display()));
    }

    /// The path of a plugin's file.
    pub fn plugin_file(&self, name: &str) -> PathBuf {
        self.plugins().join(format!("{name}.wasm"))
    }

    /// Writes `conf.d/NAME.toml`, by renaming.
    pub fn put_conf(&self, name: &str, toml: &str) {
        let (aside, there) = (self.conf_d().join(format!(".{name}")), self.conf_d().join(format!("{name}.toml")));
        let put = std::fs::write(&aside, toml).and_then(|()| std::fs::rename(&aside, &there));
        put.unwrap_or_else(|error| panic!("{}: {error}", there.display()));
    }

    /// The plugin folder.
    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder `conf.d`.
    pub fn conf_d(&self) -> PathBuf {
        self.folder.path().join("conf.d")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("beadle.toml")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("beadle.sock")
    }

    /// The callback URL for the platform.
    pub fn callback(&self) -> String {
        format!("http://{}{}", self.http, webhook::PATH)
    }

    /// Writes the configuration file.
    pub fn write(&self) {
        let toml = format!(
            r#"[daemon]
data_dir = "data"
plugin_dirs = ["plugins"]
[http]
listen = "{http}"
{http_toml}
[admin]
listen = "{admin}"
{admin_toml}
socket = "beadle.sock"
[apps.main]
kind = "whatsapp-cloud"
graph_url = "{graph}"
access_token = {{ env = "E2E_TOKEN" }}
app_secret = {{ env = "E2E_SECRET" }}
verify_token = {{ env = "E2E_VERIFY" }}
[channels.{CHANNEL}]
app = "main"
phone_number_id = "{phone}"
business_account_id = "{business}"
{rest}"#,
            http = self.http,
            admin = self.admin,
            admin_toml = self.admin_toml,
            http_toml = self.http_toml,
            graph = self.graph_url,
            phone = webhook::PHONE_NUMBER_ID,
            business = webhook::BUSINESS_ID,
            rest = self.toml,
        );
        std::fs::write(self.config(), toml).unwrap_or_else(|error| panic!("{}: {error}", self.config().display()));
    }

    /// A `beadle` command with these arguments and the secrets in its environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program::built("beadle"));
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    /// The command that starts the daemon with these arguments.
    fn daemon(&self, arguments: &[&str]) -> Command {
        let Some(script) = &self.namespace_script else { return self.command(arguments) };
        let [program, namespace @ ..] = NAMESPACE;
        let mut command = Command::new(program);
        command.args(namespace).args(["sh", "-c", script, "sh"]).arg(program::built("beadle")).args(arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.current_dir(self.folder.path());
        command.env("E2E_TOKEN", webhook::ACCESS_TOKEN).env("E2E_SECRET", webhook::APP_SECRET);
        command.env("E2E_VERIFY", webhook::VERIFY_TOKEN).env("BEADLE_SOCKET", self.socket());
        command.env_remove("NOTIFY_SOCKET");
    }

    /// Runs `beadle` with these arguments.
    pub async fn cli(&self, arguments: &[&str]) -> Output {
        match timeout(TIMEOUT, self.command(arguments).output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => panic!("`beadle {}`: {error}", arguments.join(" ")),
            Err(_) => panic!("`beadle {}` does not exit", arguments.join(" ")),
        }
    }

    /// Starts the daemon without waiting until it is ready.
    pub fn spawn(&self) -> Starting {
        self.write();
        let config = self.config();
        let mut arguments = vec!["run", "--config", config.to_str().unwrap_or_default()];
        if let Some(url) = &self.clock_url {
            arguments.extend(["--clock", url]);
        }
        let notify = self.folder.path().join("notify");
        let _ = std::fs::remove_file(&notify);
        let notifications = UnixDatagram::bind(&notify).unwrap_or_else(|error| panic!("{}: {error}", notify.display()));
        let mut command = self.daemon(&arguments);
        command.envs(self.environment.iter().cloned()).env("NOTIFY_SOCKET", &notify);
        let program = Program::start(&mut command);
        Starting { program, notifications, socket: self.socket() }
    }

    /// Starts the daemon and waits until it is ready.
    pub async fn start(&self) -> Daemon {
        self.spawn().ready().await
    }
}

/// Starts a program in a user namespace of its own.
const NAMESPACE: [&str; 3] = ["unshare", "--user", "--map-root-user"];

/// A local address that is free now and that this process returns once. Its port is below Linux's
/// ephemeral ports (from 32768), which an outgoing connection could take before the owner listens.
pub fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run at once begin at different ports.
    let first = std::process::id().wrapping_mul(97);
    (0..PORTS.len())
        .map(|_| NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(first) as usize % PORTS.len() + PORTS.start)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .unwrap_or_else(|| panic!("no free port in {PORTS:?}"))
}

/// The ports of [`free_address`].
const PORTS: std::ops::Range<usize> = 18_000..32_000;

/// A daemon that was started and may not be ready.
pub struct Starting {
    /// The process.
    pub program: Program,
    notifications: UnixDatagram,
    socket: PathBuf,
}

impl Starting {
    /// Waits until it has notified systemd that it is ready.
    pub async fn ready(mut self) -> Daemon {
        let ready = tokio::select! {
            notified = wait_for_notification(&self.notifications, |line| line == "READY=1") => notified,
            _ = self.program.wait() => false,
        };
        assert!(ready, "the daemon did not become ready:\n{}", self.program.output());
        Daemon { program: self.program, socket: self.socket, notifications: self.notifications }
    }
}

/// A daemon that is ready.
pub struct Daemon {
    /// The process.
    pub program: Program,
    socket: PathBuf,
    notifications: UnixDatagram,
}

impl Daemon {
    /// Waits for a status line for `systemctl status` that contains `part`.
    pub async fn wait_for_systemd_status(&self, part: &str) {
        let is_wanted = |line: &str| line.starts_with("STATUS=") && line.contains(part);
        let notified = wait_for_notification(&self.notifications, is_wanted).await;
        assert!(notified, "no status line contains `{part}`:\n{}", self.program.output());
    }

    /// `GET /api/v1/PATH` over the socket.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.try_get(&format!("/api/v1/{path}")).await;
        let response = response.unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.program.output()));
        assert_eq!(response.status, 200, "GET {path}: {}\n{}", response.text(), self.program.output());
        serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("GET {path}: {error}: {}", response.text()))
    }

    /// `GET` of any path over the socket; the response may be an error.
    pub async fn try_get(&self, path: &str) -> std::io::Result<Response> {
        Connection::unix(&self.socket).await?.exchange(&request("GET", path, "", b"")).await
    }

    /// Waits until a plugin's row of `/api/v1/plugins` meets a condition, and returns it.
    pub async fn wait_for_plugin(&self, name: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let goal = format!("the plugin {name} meets the condition");
        wait_until(&goal, async || {
            let response = self.try_get(&format!("/api/v1/plugins/{name}")).await.ok()?;
            serde_json::from_slice(&response.body).ok().filter(|row: &Value| response.status == 200 && condition(row))
        })
        .await
    }

    /// All items of a list, page by page. `list` may have a query.
    pub async fn list_all(&self, list: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut before = String::new();
        let and = if list.contains('?') { '&' } else { '?' };
        loop {
            let mut page = self.get(&format!("{list}{and}limit=1000{before}")).await;
            if let Some(Value::Array(more)) = page.get_mut("items").map(Value::take) {
                items.extend(more);
            }
            match page.get("next").and_then(Value::as_str) {
                Some(next) => before = format!("&before={next}"),
                None => return items,
            }
        }
    }

    /// `POST /api/v1/PATH` without a body.
    pub async fn post(&self, path: &str) -> Response {
        let request = request("POST", &format!("/api/v1/{path}"), "", b"");
        let response = async { Connection::unix(&self.socket).await?.exchange(&request).await };
        response.await.unwrap_or_else(|error: std::io::Error| panic!("POST {path}: {error}\n{}", self.program.output()))
    }

    /// `GET /api/v1/status`.
    pub async fn status(&self) -> Value {
        self.get("status").await
    }

    /// A number of the status; -1 if it is missing.
    pub async fn status_count(&self, name: &str) -> i64 {
        self.status().await.get(name).and_then(Value::as_i64).unwrap_or(-1)
    }

    /// Waits until the status meets a condition, and returns it.
    pub async fn wait_for_status(&self, condition: impl Fn(&Value) -> bool) -> Value {
        wait_until("the status meets the condition", async || Some(self.status().await).filter(&condition)).await
    }

    /// Waits until a key of the configuration is in effect.
    pub async fn wait_for_config(&self, key: &str) {
        wait_until(&format!("{key} is in effect"), async || self.get("config").await.get(key).map(drop)).await;
    }

    /// Waits until every event is handled, and every message is sent or given up.
    pub async fn wait_until_idle(&self) -> Value {
        let is_zero = |status: &Value, name: &str| status.get(name).and_then(Value::as_i64) == Some(0);
        self.wait_for_status(|status| ["events_open", "queued", "sending"].iter().all(|name| is_zero(status, name)))
            .await
    }

    /// Stops it with SIGTERM and asserts that it exits with success.
    pub async fn stop(mut self) {
        self.program.terminate();
        let status = self.program.wait().await;
        assert!(status.success(), "the daemon exited with {status}:\n{}", self.program.output());
    }

    /// Kills it with SIGKILL.
    pub async fn kill9(mut self) {
        self.program.kill9().await;
    }
}

/// Waits for a line of a notification to systemd that meets a condition. `false`: it timed out.
async fn wait_for_notification(notifications: &UnixDatagram, condition: impl Fn(&str) -> bool) -> bool {
    let mut buffer = [0; 4096];
    let received = timeout(TIMEOUT, async {
        loop {
            let length = notifications.recv(&mut buffer).await.unwrap_or(0);
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            if text.lines().any(&condition) {
                return;
            }
        }
    });
    received.await.is_ok()
}
