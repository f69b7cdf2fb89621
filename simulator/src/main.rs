//! The command `beadle-simulator`: parses arguments and runs the simulator.

use beadle_simulator::{ClockKind, Config, Simulator};
use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Simulate WhatsApp's Cloud API locally: Graph API, signed webhooks, chat page, virtual time,
/// fault injection
#[derive(Parser)]
#[command(name = "beadle-simulator", version)]
struct Args {
    /// Address of the Graph API, the control API and the chat page; port 0 selects a free port
    #[arg(long, default_value = "127.0.0.1:8490")]
    listen: String,
    /// URL of the daemon's webhook
    #[arg(long, default_value = "http://127.0.0.1:8420/webhooks/main")]
    callback: String,
    /// Key that signs webhooks [default: --app-secret-file, then BEADLE_SIMULATOR_APP_SECRET]
    #[arg(long)]
    app_secret: Option<String>,
    /// File with the app secret
    #[arg(long, hide_short_help = true)]
    app_secret_file: Option<String>,
    /// Token of the webhook handshake [default: --verify-token-file, then
    /// BEADLE_SIMULATOR_VERIFY_TOKEN]
    #[arg(long)]
    verify_token: Option<String>,
    /// File with the verify token
    #[arg(long, hide_short_help = true)]
    verify_token_file: Option<String>,
    /// Token required by the Graph API [default: --access-token-file, then
    /// BEADLE_SIMULATOR_ACCESS_TOKEN]
    #[arg(long)]
    access_token: Option<String>,
    /// File with the access token
    #[arg(long, hide_short_help = true)]
    access_token_file: Option<String>,
    /// Id of the business number
    #[arg(long, default_value = "106540352242922")]
    phone_number_id: String,
    /// Id of the business account
    #[arg(long, default_value = "102290129340398")]
    business_account_id: String,
    /// Phone number of the business
    #[arg(long, default_value = "15550783881")]
    display_number: String,
    /// Seed of the random number generator; the same seed injects the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clock: real, virtual, virtual:now or virtual:START_MS (Unix time in milliseconds)
    #[arg(long, default_value = "real")]
    clock: ClockKind,
    /// How fast a virtual clock advances by itself; 0 stops it, 1 is real time
    #[arg(long, default_value_t = 0.0)]
    speed: f64,
    /// Start without the default people Ana, Bram and Kadri
    #[arg(long)]
    no_people: bool,
    /// A further person who exists from the start; can be repeated
    #[arg(long, value_name = "NAME=NUMBER", value_parser = person)]
    person: Vec<(String, String)>,
    /// JSON file with an array of templates, as they are submitted, that are approved from the
    /// start
    #[arg(long, value_name = "FILE")]
    templates: Option<String>,
    /// Maximum number of messages to keep
    #[arg(long, default_value_t = 100_000)]
    max_messages: usize,
    /// Maximum number of requests to keep in the log; 0 disables it
    #[arg(long, default_value_t = 500)]
    max_log_entries: usize,
    /// Maximum number of concurrent webhook deliveries
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// Exit when standard input is closed, so that the simulator ends with the program that started
    /// it
    #[arg(long)]
    exit_on_stdin_close: bool,
}

/// Reads a secret from the argument, the file or the environment, in this order.
fn secret(name: &str, argument: Option<String>, file: Option<String>) -> Result<String, String> {
    let variable = format!("BEADLE_SIMULATOR_{}", name.to_uppercase().replace('-', "_"));
    match (argument, file) {
        (Some(secret), _) => Ok(secret),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).map_err(|error| format!("--{name}-file {path}: {error}"))?;
            Ok(text.trim_end().to_owned())
        }
        (None, None) => {
            std::env::var(&variable).map_err(|_| format!("set --{name}, --{name}-file or the variable {variable}"))
        }
    }
}

/// Parses `NAME=NUMBER`.
fn person(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, number)) if !name.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((name.to_owned(), number.to_owned()))
        }
        _ => Err("must be a name, `=`, and a number as digits with country code".to_owned()),
    }
}

/// Reads the templates that exist from the start.
fn templates(path: Option<&str>) -> Result<Vec<serde_json::Value>, String> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).map_err(|error| format!("--templates {path}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("--templates {path}: must be a JSON array: {error}"))
}

fn config(args: Args) -> Result<Config, String> {
    Ok(Config {
        templates: templates(args.templates.as_deref())?,
        app_secret: secret("app-secret", args.app_secret, args.app_secret_file)?,
        verify_token: secret("verify-token", args.verify_token, args.verify_token_file)?,
        access_token: secret("access-token", args.access_token, args.access_token_file)?,
        listen: args.listen,
        callback: args.callback,
        phone_number_id: args.phone_number_id,
        business_account_id: args.business_account_id,
        display_number: args.display_number,
        seed: args.seed,
        clock: args.clock,
        speed: args.speed,
        default_people: !args.no_people,
        people: args.person,
        max_messages: args.max_messages,
        max_log_entries: args.max_log_entries,
        concurrency: args.concurrency,
    })
}

/// Returns when standard input is closed.
async fn stdin_closed() {
    let (sender, closed) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = sender.send(());
    });
    let _ = closed.await;
}

async fn run(config: Config, exit_on_stdin_close: bool) -> Result<(), String> {
    let simulator = Simulator::bind(config).await.map_err(|error| error.to_string())?;
    println!("listening http://{}", simulator.addr());
    tokio::select! {
        result = simulator.run() => result.map_err(|error| error.to_string()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        () = stdin_closed(), if exit_on_stdin_close => Ok(()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let exit_on_stdin_close = args.exit_on_stdin_close;
    let result = match (config(args), tokio::runtime::Builder::new_multi_thread().enable_all().build()) {
        (Err(error), _) => {
            eprintln!("beadle-simulator: {error}");
            return ExitCode::from(2);
        }
        (Ok(_), Err(error)) => Err(error.to_string()),
        (Ok(config), Ok(runtime)) => runtime.block_on(run(config, exit_on_stdin_close)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beadle-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}
