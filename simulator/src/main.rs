//! `beadle-simulator`: arguments in, a local WhatsApp out.

use beadle_simulator::{ClockKind, Config, Simulator};
use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;

/// A local WhatsApp to run a daemon against: Graph API, signed webhooks, a chat page, virtual time, faults on demand.
#[derive(Parser)]
#[command(name = "beadle-simulator", version)]
struct Args {
    /// Where the Graph API, the control API and the chat page are; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8490")]
    listen: String,
    /// The daemon's webhook
    #[arg(long, default_value = "http://127.0.0.1:8420/webhooks/main")]
    callback: String,
    /// Signs the webhooks; else the file of --app-secret-file, else BEADLE_SIMULATOR_APP_SECRET
    #[arg(long)]
    app_secret: Option<String>,
    #[arg(long, hide_short_help = true)]
    app_secret_file: Option<String>,
    /// Goes with the handshake; else --verify-token-file, else BEADLE_SIMULATOR_VERIFY_TOKEN
    #[arg(long)]
    verify_token: Option<String>,
    #[arg(long, hide_short_help = true)]
    verify_token_file: Option<String>,
    /// What the daemon must show; else --access-token-file, else BEADLE_SIMULATOR_ACCESS_TOKEN
    #[arg(long)]
    access_token: Option<String>,
    #[arg(long, hide_short_help = true)]
    access_token_file: Option<String>,
    /// The number's id
    #[arg(long, default_value = "106540352242922")]
    phone_number_id: String,
    /// The account's id
    #[arg(long, default_value = "102290129340398")]
    business_account_id: String,
    /// The business's number, as people see it
    #[arg(long, default_value = "15550783881")]
    display_number: String,
    /// Of chance: the same seed, the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// real, virtual, virtual:now, or virtual:START_MS (milliseconds since 1970)
    #[arg(long, default_value = "real")]
    clock: ClockKind,
    /// How fast a virtual clock goes by itself; 0 stands still, 1 is as the machine's
    #[arg(long, default_value_t = 0.0)]
    speed: f64,
    /// Start without Ana, Bram and Kadri
    #[arg(long)]
    no_people: bool,
    /// How many messages to remember
    #[arg(long, default_value_t = 100_000)]
    keep_messages: usize,
    /// How many requests to remember in the log; 0 is none
    #[arg(long, default_value_t = 500)]
    log: usize,
    /// How many webhooks to deliver side by side
    #[arg(long, default_value_t = 32)]
    lanes: usize,
    /// End when standard input does: with the program that started this one, whatever becomes of it
    #[arg(long)]
    until_stdin_ends: bool,
}

/// A secret from where it was given: the argument, the file, the environment.
fn secret(name: &str, given: Option<String>, file: Option<String>) -> Result<String, String> {
    let variable = format!("BEADLE_SIMULATOR_{}", name.to_uppercase().replace('-', "_"));
    match (given, file) {
        (Some(secret), _) => Ok(secret),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).map_err(|error| format!("--{name}-file {path}: {error}"))?;
            Ok(text.trim_end().to_owned())
        }
        (None, None) => {
            std::env::var(&variable).map_err(|_| format!("give --{name}, --{name}-file or the variable {variable}"))
        }
    }
}

fn config(args: Args) -> Result<Config, String> {
    Ok(Config {
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
        first_people: !args.no_people,
        keep_messages: args.keep_messages,
        log: args.log,
        lanes: args.lanes,
    })
}

/// Returns when standard input has ended.
async fn stdin_ended() {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = tell.send(());
    });
    let _ = told.await;
}

async fn run(config: Config, until_stdin_ends: bool) -> Result<(), String> {
    let simulator = Simulator::bind(config).await.map_err(|error| error.to_string())?;
    println!("listening http://{}", simulator.addr());
    tokio::select! {
        ended = simulator.run() => ended.map_err(|error| error.to_string()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        () = stdin_ended(), if until_stdin_ends => Ok(()),
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
    let until_stdin_ends = args.until_stdin_ends;
    let ended = match (config(args), tokio::runtime::Builder::new_multi_thread().enable_all().build()) {
        (Err(mistake), _) => {
            eprintln!("beadle-simulator: {mistake}");
            return ExitCode::from(2);
        }
        (Ok(_), Err(error)) => Err(error.to_string()),
        (Ok(config), Ok(runtime)) => runtime.block_on(run(config, until_stdin_ends)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beadle-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}
