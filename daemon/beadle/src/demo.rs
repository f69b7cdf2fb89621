//! `beadle demo`: a simulator, a daemon and a chat page, without setup and without leftovers.
//!
//! The simulator is the program next to this one. The daemon runs in this process with a
//! configuration in a temporary directory, which is deleted when the demo ends. Secrets are
//! generated for each demo. Time is the simulator's: it runs like the machine's and can be advanced
//! on the chat page.
//!
//! Plugin authors work in it: files in the demo's own plugin folder run before the installed
//! plugins, and `--watch` builds a plugin's sources into that folder.

use crate::author::BuildLoop;
use crate::cli::DemoArgs;
use crate::config::{self, Environment};
use crate::exit::Exit;
use crate::run::{self, logging};
use crate::scratch::Scratch;
use beadle_model::Coded as _;
use beadle_workshop::{Failure, Project, Toolchain};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

/// The simulator's number, from the platform's examples.
const PHONE_NUMBER_ID: &str = "106540352242922";
/// The simulator's business account, from the platform's examples.
const BUSINESS_ACCOUNT_ID: &str = "102290129340398";

/// Why the demo does not start.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("no simulator at {}: build it with `cargo build -p beadle-simulator`, or install it", .0.display())]
    NoSimulator(PathBuf),
    #[error("no plugins in {}: build them with `cargo xtask plugins`, or name a folder with `--plugins`", .0.display())]
    NoPlugins(PathBuf),
    #[error("{action}: {error}")]
    Io { action: String, error: std::io::Error },
    #[error("cannot generate secrets: {0}")]
    Random(getrandom::Error),
    #[error("{0}")]
    Workshop(#[from] Failure),
}

/// Runs it until Ctrl-C.
pub async fn demo(args: &DemoArgs) -> Exit {
    match start(args).await {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("{error}");
            Exit::Failed
        }
    }
}

async fn start(args: &DemoArgs) -> Result<Exit, DemoError> {
    let io = |action: &str| {
        let action = action.to_owned();
        move |error| DemoError::Io { action, error }
    };
    let program = std::env::current_exe().map_err(io("cannot find this program"))?;
    let bin = program.parent().unwrap_or(Path::new("."));
    let simulator = bin.join("beadle-simulator");
    if !simulator.is_file() {
        return Err(DemoError::NoSimulator(simulator));
    }
    let places = match &args.plugins {
        Some(named) => vec![named.clone()],
        // Where `cargo xtask plugins` puts them, and where a package does.
        None => vec![bin.join("../plugins"), bin.join("../lib/beadle/plugins")],
    };
    let Some(plugins) = places.iter().find(|folder| has_plugins(folder)).cloned() else {
        return Err(DemoError::NoPlugins(places.into_iter().next().unwrap_or_default()));
    };
    let plugins = std::path::absolute(&plugins).map_err(io("cannot use the plugin folder"))?;
    let (projects, toolchain) = watched(args)?;
    let folder = Scratch::make("demo").map_err(io("cannot create a folder for the demo"))?;
    let own = folder.path().join(OWN);
    std::fs::create_dir(&own).map_err(io("cannot create the demo's plugin folder"))?;
    let updates = folder.path().join("updates");
    let written = std::fs::create_dir(&updates).and_then(|()| std::fs::write(updates.join("party.md"), PARTY));
    written.map_err(io("cannot write the demo's updates"))?;
    let templates = folder.path().join("templates.json");
    std::fs::write(&templates, TEMPLATES).map_err(io("cannot write the demo's templates"))?;
    let people = folder.path().join("people.csv");
    std::fs::write(&people, PEOPLE).map_err(io("cannot write the demo's contacts"))?;
    let ports = [8490, 8420, 8421].map(free_port);
    let secrets = [secret()?, secret()?, secret()?];
    let config = folder.path().join("beadle.toml");
    std::fs::write(&config, configuration(ports, &plugins)).map_err(io("cannot write the demo's configuration"))?;
    for (name, secret) in ["access-token", "app-secret", "verify-token"].iter().zip(&secrets) {
        std::fs::write(folder.path().join(name), secret).map_err(io("cannot write the demo's secrets"))?;
    }
    let environment = Environment::process();
    let loaded = match config::load(&config, &environment) {
        Ok(loaded) => loaded,
        Err(invalid) => {
            eprint!("{}", invalid.render(false));
            return Ok(Exit::Failed);
        }
    };
    logging::start(&loaded.config.log);
    let _simulator = spawn(&simulator, ports, folder.path()).map_err(io("cannot start the simulator"))?;
    let page = format!("http://127.0.0.1:{}/", ports[0]);
    let socket = folder.path().join("beadle.sock");
    let mut build_loop = toolchain.map(|toolchain| BuildLoop::new(projects, toolchain, own.clone(), socket.clone()));
    if let Some(build_loop) = &mut build_loop {
        // Built before anything starts, so that they handle the first message.
        build_loop.run_once().await;
    }
    let imports = stems(&plugins).iter().any(|name| name == NEWS_PLUGIN);
    let ready = |_: &config::Config| {
        let (greeting, page) = (welcome(&page, ports, &socket, &own, imports), page.clone());
        let mut import = Command::new(&program);
        import.arg("--socket").arg(&socket).args(["contacts", "import"]).arg(&people);
        let opens = !args.no_open;
        tokio::spawn(async move {
            if imports {
                // Before anybody can write, so that their ids are those of the README.
                match import.stdin(Stdio::null()).kill_on_drop(true).output().await {
                    Ok(output) if output.status.success() => {}
                    Ok(output) => eprint!("contacts not imported: {}", String::from_utf8_lossy(&output.stderr)),
                    Err(error) => eprintln!("contacts not imported: {error}"),
                }
            }
            println!("{greeting}");
            if opens {
                open(&page);
            }
        });
        if let Some(build_loop) = build_loop {
            // It ends with the process.
            tokio::spawn(build_loop.run());
        }
    };
    let clock = format!("http://127.0.0.1:{}/control/clock", ports[0]);
    Ok(match run::run(loaded, Some(&clock), ready).await {
        Ok(()) => Exit::Ok,
        Err(error) => {
            eprintln!("error[{}]: {error}", error.code());
            Exit::Failed
        }
    })
}

fn has_plugins(folder: &Path) -> bool {
    !stems(folder).is_empty()
}

/// The names of the plugins in a folder.
fn stems(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let wasm = files.filter(|path| path.extension().is_some_and(|end| end == "wasm"));
    let mut stems: Vec<String> = wasm.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    stems.sort();
    stems
}

/// The projects to build while the demo runs, and the toolchain; errors are reported before
/// anything starts.
fn watched(args: &DemoArgs) -> Result<(Vec<Project>, Option<Toolchain>), Failure> {
    let projects = args.watch.iter().map(|folder| Project::find(folder)).collect::<Result<Vec<_>, _>>()?;
    let toolchain = if projects.is_empty() { None } else { Some(Toolchain::find()?) };
    Ok((projects, toolchain))
}

/// The expected port, or a free one if it is in use.
fn free_port(expected: u16) -> u16 {
    let port = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| listener.local_addr());
    port(expected).or_else(|_| port(0)).as_ref().map_or(expected, SocketAddr::port)
}

fn secret() -> Result<String, DemoError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(DemoError::Random)?;
    Ok(beadle_model::text::hex(bytes))
}

/// The demo's own plugin folder, relative to its scratch folder.
const OWN: &str = "plugins";
/// The order of installed plugins: those of an author come first, because `echo` answers
/// everything.
const LAST: i32 = 10;

/// An update for `community-updates`.
const PARTY: &str = "# Street party\nOn Saturday from noon, in front of number 12. Bring a **chair**!\n";

/// `welcome` comes first: it passes what it does not understand.
const WELCOME: &str = r#"
[plugins.welcome]
order = -10
[plugins.welcome.settings]
brand = "De Buurt"
purpose = "We help each other out in the neighbourhood."
rules = "1. Be kind.\n2. No advertising.\n3. What is said here stays here."
"#;

/// `reminder` observes windows that are about to close; advance the clock on the chat page to see
/// it.
const REMINDER: &str = r#"
[plugins.reminder]
stage = "observe"
settings = { timezone = "Europe/Amsterdam" }
"#;

/// Templates that WhatsApp has approved, for members who have not written for a day.
const TEMPLATES: &str = r#"[
  {"name": "neighbourhood_news", "language": "en", "category": "MARKETING", "components": [
    {"type": "BODY", "text": "There is news in the neighbourhood: {{1}}. Write to us if you have questions.", "example": {"body_text": [["Street party"]]}},
    {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop promotions"}]}
  ]},
  {"name": "neighbourhood_news", "language": "nl", "category": "MARKETING", "components": [
    {"type": "BODY", "text": "Er is nieuws in de buurt: {{1}}. Schrijf ons als je vragen hebt.", "example": {"body_text": [["Straatfeest"]]}},
    {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop promotions"}]}
  ]}
]"#;

/// The plugin of [`UPDATES`].
const NEWS_PLUGIN: &str = "community-updates";

/// People whom the simulator knows and the demo imports ([`PEOPLE`]). They have never written, so
/// that their windows are closed.
const SILENT: [&str; 2] = ["Dana=31610000201", "Emil=31610000202"];

/// Dana agreed to news on paper, Emil only to what concerns him.
const PEOPLE: &str = "phone,name,tags,consent_source,consent_purpose,consent_wording\n\
                      +31610000201,Dana,neighbour,paper,marketing:news,news\n\
                      +31610000202,Emil,neighbour,paper,service,\n";

/// `community-updates` sends a document of the demo each evening by a broadcast: to those who have
/// agreed with the word NEWS, and by a template to Dana. Advance the clock on the chat page by a
/// day to see it; `beadle why` says why others get none.
const UPDATES: &str = r#"
[plugins.community-updates]
order = -20
grant = ["messages", "broadcasts"]
documents = "updates"
[plugins.community-updates.settings]
template = "neighbourhood_news"
broadcast = { purpose = "marketing:news", segment = "neighbours" }
[segments.neighbours]
where = 'member || "neighbour" in tags || consent["marketing:news"]'
[consents]
# Every source except paper, so that the people whom the demo imports are not asked to confirm.
double_opt_in = ["web", "sms", "ivr", "in-person", "import", "qr", "ad", "crm", "operator"]
[consents.wordings.news]
purpose = "marketing:news"
version = 1
word = "NEWS"
text = { en = "De Buurt may tell me about news in the neighbourhood. STOP ends it." }
[[schedule]]
name = "news"
cron = "0 18 * * *"
timezone = "Europe/Amsterdam"
plugin = "community-updates"
"#;

fn configuration([simulator, http, admin]: [u16; 3], plugins: &Path) -> String {
    let tables = stems(plugins).iter().fold(String::new(), |mut tables, name| {
        let _ = match name.as_str() {
            "welcome" => writeln!(tables, "{WELCOME}"),
            "reminder" => writeln!(tables, "{REMINDER}"),
            NEWS_PLUGIN => writeln!(tables, "{UPDATES}"),
            _ => writeln!(tables, "[plugins.{name}]\norder = {LAST}"),
        };
        tables
    });
    // TOML's basic strings have the syntax of JSON strings.
    let plugins = serde_json::Value::from(plugins.display().to_string());
    format!(
        r#"# Made by `beadle demo`.
[daemon]
data_dir = "data"
plugin_dirs = ["{OWN}", {plugins}]
[http]
listen = "127.0.0.1:{http}"
[admin]
listen = "127.0.0.1:{admin}"
socket = "beadle.sock"
[keywords]
brand = "De Buurt"
[apps.main]
kind = "whatsapp-cloud"
graph_url = "http://127.0.0.1:{simulator}"
access_token = {{ file = "access-token" }}
app_secret = {{ file = "app-secret" }}
verify_token = {{ file = "verify-token" }}
[channels.shop]
app = "main"
phone_number_id = "{PHONE_NUMBER_ID}"
business_account_id = "{BUSINESS_ACCOUNT_ID}"
[log]
level = "warn"
{tables}"#
    )
}

fn spawn(program: &Path, [simulator, http, _]: [u16; 3], folder: &Path) -> std::io::Result<Child> {
    let file = |name: &str| folder.join(name);
    Command::new(program)
        .args(["--listen", &format!("127.0.0.1:{simulator}")])
        .args(["--callback", &format!("http://127.0.0.1:{http}/webhooks/main")])
        .args(["--phone-number-id", PHONE_NUMBER_ID, "--business-account-id", BUSINESS_ACCOUNT_ID])
        .args(["--clock", "virtual:now", "--speed", "1"])
        .args(SILENT.iter().flat_map(|person| ["--person", person]))
        .arg("--templates")
        .arg(file("templates.json"))
        // Its standard input ends with this process, however that ends.
        .arg("--exit-on-stdin-close")
        .arg("--access-token-file")
        .arg(file("access-token"))
        .arg("--app-secret-file")
        .arg(file("app-secret"))
        .arg("--verify-token-file")
        .arg(file("verify-token"))
        .env("RUST_LOG", "warn")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
}

fn welcome(page: &str, [_, http, admin]: [u16; 3], socket: &Path, own: &Path, has_news: bool) -> String {
    let news = if has_news {
        "\x20 News         at 18:00 (advance the clock by a day): to those who wrote NEWS, and by a template to Dana,\n\
         \x20              who never wrote; Emil did not agree, and `beadle why con_2` says so\n"
    } else {
        ""
    };
    format!(
        "\nBeadle is running with a simulated WhatsApp.\n\n\
         \x20 Chat page    {page}  (write as several people)\n\
         \x20 Webhooks     http://127.0.0.1:{http}/webhooks/main\n\
         \x20 Health       http://127.0.0.1:{admin}/healthz, /metrics\n\
         \x20 Status       beadle --socket {} status\n\
         \x20 Plugins      {}  (put your .wasm files here, or use --watch DIR)\n{news}\n\
         Press Ctrl-C to stop.",
        socket.display(),
        own.display()
    )
}

/// Opens the page in a browser if there is a display. The address was printed anyway.
fn open(page: &str) {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some());
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if has_screen || cfg!(target_os = "macos") {
        let mut opening = Command::new(opener);
        let _ = opening.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    }
}
