//! The daemon as an operator has it: a configuration file, a plugin folder, a data folder, and the program itself.
//!
//! A scenario describes it with [`Setup`], starts it as often as it likes on the same data, and asks it over its socket.
//! It is ready when it says so where systemd would listen.

use crate::disk::Disk;
use crate::http::{Answer, Connection, request};
use crate::program::{self, PATIENCE, Program};
use crate::{meta, until};
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

/// What the operator set up: a folder with everything in it.
pub struct Setup {
    folder: TempDir,
    /// `host:port` of `/webhooks`.
    pub http: String,
    /// `host:port` of health, metrics and the API.
    pub admin: String,
    graph_url: String,
    clock_url: Option<String>,
    toml: String,
    environment: Vec<(String, String)>,
}

impl Setup {
    /// A daemon without plugins that sends to this Graph API (`http://host:port`).
    pub fn new(graph_url: &str) -> Self {
        let folder = TempDir::with_prefix("beadle-e2e-").unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let setup = Self {
            folder,
            http: free_address(),
            admin: free_address(),
            graph_url: graph_url.into(),
            clock_url: None,
            toml: String::new(),
            environment: Vec::new(),
        };
        for sub in [setup.plugins(), setup.data(), setup.conf_d()] {
            std::fs::create_dir_all(&sub).unwrap_or_else(|error| panic!("{}: {error}", sub.display()));
        }
        setup
    }

    /// With a plugin of the repository under its own name, with these lines in its table.
    #[must_use]
    pub fn plugin(self, name: &str, toml: &str) -> Self {
        self.plugin_as(name, name, toml)
    }

    /// With a plugin under another name.
    #[must_use]
    pub fn plugin_as(mut self, name: &str, built: &str, toml: &str) -> Self {
        self.put_plugin(name, &program::plugin(built));
        let _ = write!(self.toml, "[plugins.{name}]\n{toml}\n");
        self
    }

    /// With the probe under this name: a plugin that does what these settings (the inside of a TOML table) say.
    #[must_use]
    pub fn probe(self, name: &str, settings: &str, toml: &str) -> Self {
        self.plugin_as(name, "probe", &format!("settings = {{ {settings} }}\n{toml}"))
    }

    /// With these tables in the configuration.
    #[must_use]
    pub fn toml(mut self, toml: &str) -> Self {
        let _ = writeln!(self.toml, "{toml}");
        self
    }

    /// Its civil time is this clock's.
    #[must_use]
    pub fn clock(mut self, url: &str) -> Self {
        self.clock_url = Some(url.into());
        self
    }

    /// With a data folder on this disk.
    #[must_use]
    pub fn disk(mut self, disk: &Disk) -> Self {
        self.environment.extend(disk.environment());
        self
    }

    /// Puts a file into the plugin folder, as an operator would: whole, by renaming it in.
    pub fn put_plugin(&self, name: &str, wasm: &Path) {
        let (aside, there) = (self.plugins().join(format!(".{name}")), self.plugins().join(format!("{name}.wasm")));
        let put = std::fs::copy(wasm, &aside).and_then(|_| std::fs::rename(&aside, &there));
        put.unwrap_or_else(|error| panic!("{}: {error}", there.display()));
    }

    /// The same with these bytes.
    pub fn put_bytes(&self, name: &str, bytes: &[u8]) {
        let (aside, there) = (self.plugins().join(format!(".{name}")), self.plugin_file(name));
        let put = std::fs::write(&aside, bytes).and_then(|()| std::fs::rename(&aside, &there));
        put.unwrap_or_else(|error| panic!("{}: {error}", there.display()));
    }

    /// Where a plugin's file is.
    pub fn plugin_file(&self, name: &str) -> PathBuf {
        self.plugins().join(format!("{name}.wasm"))
    }

    /// Puts another file into `conf.d`, as an operator would: whole, by renaming it in.
    pub fn put_conf(&self, name: &str, toml: &str) {
        let (aside, there) = (self.conf_d().join(format!(".{name}")), self.conf_d().join(format!("{name}.toml")));
        let put = std::fs::write(&aside, toml).and_then(|()| std::fs::rename(&aside, &there));
        put.unwrap_or_else(|error| panic!("{}: {error}", there.display()));
    }

    /// The folder that plugins are loaded from.
    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The folder that the daemon writes to.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of further configuration files.
    pub fn conf_d(&self) -> PathBuf {
        self.folder.path().join("conf.d")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("beadle.toml")
    }

    /// Where the daemon is asked.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("beadle.sock")
    }

    /// The address that the platform posts to.
    pub fn callback(&self) -> String {
        format!("http://{}{}", self.http, meta::WEBHOOK_PATH)
    }

    /// Writes the configuration.
    pub fn write(&self) {
        let toml = format!(
            r#"[daemon]
data_dir = "data"
plugin_dirs = ["plugins"]
[http]
listen = "{http}"
[admin]
listen = "{admin}"
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
            graph = self.graph_url,
            phone = meta::PHONE_NUMBER_ID,
            business = meta::BUSINESS_ID,
            rest = self.toml,
        );
        std::fs::write(self.config(), toml).unwrap_or_else(|error| panic!("{}: {error}", self.config().display()));
    }

    /// `beadle` with these words, secrets in its environment.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(program::built("beadle"));
        command.args(words).current_dir(self.folder.path());
        command.env("E2E_TOKEN", meta::ACCESS_TOKEN).env("E2E_SECRET", meta::APP_SECRET);
        command.env("E2E_VERIFY", meta::VERIFY_TOKEN).env("BEADLE_SOCKET", self.socket());
        command.env_remove("NOTIFY_SOCKET");
        command
    }

    /// What `beadle` answers to these words.
    pub async fn cli(&self, words: &[&str]) -> Output {
        match timeout(PATIENCE, self.command(words).output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => panic!("`beadle {}`: {error}", words.join(" ")),
            Err(_) => panic!("`beadle {}` does not end", words.join(" ")),
        }
    }

    /// Starts the daemon; it may or may not come up.
    pub fn launch(&self) -> Starting {
        self.write();
        let config = self.config();
        let mut words = vec!["run", "--config", config.to_str().unwrap_or_default()];
        if let Some(url) = &self.clock_url {
            words.extend(["--clock", url]);
        }
        let notify = self.folder.path().join("notify");
        let _ = std::fs::remove_file(&notify);
        let notices = UnixDatagram::bind(&notify).unwrap_or_else(|error| panic!("{}: {error}", notify.display()));
        let mut command = self.command(&words);
        command.envs(self.environment.iter().cloned()).env("NOTIFY_SOCKET", &notify);
        let program = Program::start(&mut command);
        Starting { program, notices, socket: self.socket() }
    }

    /// Starts the daemon and waits until it is ready.
    pub async fn start(&self) -> Daemon {
        self.launch().ready().await
    }
}

/// An address of this machine that nobody listens on now, and that this process gives to nobody else. It lies below the
/// ports that Linux gives to whoever asks for none (from 32768), which a connection may take before its owner listens.
pub fn free_address() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Processes that test at once begin at places of their own.
    let first = std::process::id().wrapping_mul(97);
    (0..PORTS.len())
        .map(|_| NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(first) as usize % PORTS.len() + PORTS.start)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| std::net::TcpListener::bind(address).is_ok())
        .unwrap_or_else(|| panic!("no free port in {PORTS:?}"))
}

/// Where [`free_address`] looks.
const PORTS: std::ops::Range<usize> = 18_000..32_000;

/// A daemon that was started and has not said that it is ready.
pub struct Starting {
    /// The process.
    pub program: Program,
    notices: UnixDatagram,
    socket: PathBuf,
}

impl Starting {
    /// Waits for the word that systemd waits for.
    pub async fn ready(mut self) -> Daemon {
        let mut notice = [0; 4096];
        let hear = async {
            loop {
                let length = self.notices.recv(&mut notice).await.unwrap_or(0);
                let said = String::from_utf8_lossy(notice.get(..length).unwrap_or_default());
                if said.lines().any(|line| line == "READY=1") {
                    return;
                }
            }
        };
        let ready = tokio::select! {
            heard = timeout(PATIENCE, hear) => heard.is_ok(),
            _ = self.program.ended() => false,
        };
        assert!(ready, "the daemon did not become ready:\n{}", self.program.said());
        Daemon { program: self.program, socket: self.socket, notices: self.notices }
    }
}

/// A daemon that is ready.
pub struct Daemon {
    /// The process.
    pub program: Program,
    socket: PathBuf,
    notices: UnixDatagram,
}

impl Daemon {
    /// Waits for a status line that holds this, as `systemctl status` would show it.
    pub async fn tells_systemd(&self, part: &str) {
        let mut notice = [0; 4096];
        let hear = async {
            loop {
                let length = self.notices.recv(&mut notice).await.unwrap_or(0);
                let said = String::from_utf8_lossy(notice.get(..length).unwrap_or_default());
                if said.lines().any(|line| line.starts_with("STATUS=") && line.contains(part)) {
                    return;
                }
            }
        };
        assert!(timeout(PATIENCE, hear).await.is_ok(), "systemd was not told: {part}\n{}", self.program.said());
    }

    /// Asks over the socket: `GET /api/v1/…`.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.try_get(&format!("/api/v1/{path}")).await;
        let answer = answer.unwrap_or_else(|error| panic!("GET {path}: {error}\n{}", self.program.said()));
        assert_eq!(answer.status, 200, "GET {path}: {}\n{}", answer.text(), self.program.said());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("GET {path}: {error}: {}", answer.text()))
    }

    /// Asks any path over the socket, where the answer may be an error.
    pub async fn try_get(&self, path: &str) -> std::io::Result<Answer> {
        Connection::unix(&self.socket).await?.exchange(&request("GET", path, "", b"")).await
    }

    /// Waits until a plugin is as wanted: the row of `plugins show`.
    pub async fn plugin_until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let what = format!("the plugin {name} is as wanted");
        until(&what, async || {
            let answer = self.try_get(&format!("/api/v1/plugins/{name}")).await.ok()?;
            serde_json::from_slice(&answer.body).ok().filter(|row: &Value| answer.status == 200 && wanted(row))
        })
        .await
    }

    /// A whole listing, page by page; it may have a query.
    pub async fn all(&self, list: &str) -> Vec<Value> {
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

    /// `POST /api/v1/…` with nothing in it.
    pub async fn post(&self, path: &str) -> Answer {
        let request = request("POST", &format!("/api/v1/{path}"), "", b"");
        let answer = async { Connection::unix(&self.socket).await?.exchange(&request).await };
        answer.await.unwrap_or_else(|error: std::io::Error| panic!("POST {path}: {error}\n{}", self.program.said()))
    }

    /// `GET /api/v1/status`
    pub async fn status(&self) -> Value {
        self.get("status").await
    }

    /// A number of the status; -1 where it is not there.
    pub async fn count(&self, name: &str) -> i64 {
        self.status().await.get(name).and_then(Value::as_i64).unwrap_or(-1)
    }

    /// Waits until the status is as wanted.
    pub async fn status_until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        until("the status is as wanted", async || Some(self.status().await).filter(&wanted)).await
    }

    /// Waits until a key of the configuration is in effect.
    pub async fn config_until(&self, key: &str) {
        until(&format!("{key} is in effect"), async || self.get("config").await.get(key).map(drop)).await;
    }

    /// Waits until everything that came in was handled and everything that was to go out is out or given up.
    pub async fn idle(&self) -> Value {
        let zero = |status: &Value, name: &str| status.get(name).and_then(Value::as_i64) == Some(0);
        self.status_until(|status| ["events_open", "queued", "sending"].iter().all(|name| zero(status, name))).await
    }

    /// Stops it as systemd would, and waits for its end.
    pub async fn stop(mut self) {
        self.program.terminate();
        let status = self.program.ended().await;
        assert!(status.success(), "the daemon ended with {status}:\n{}", self.program.said());
    }

    /// Kills it.
    pub async fn kill9(mut self) {
        self.program.kill9().await;
    }
}
