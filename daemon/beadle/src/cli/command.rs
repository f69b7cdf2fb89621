//! What each command asks the daemon, and how its answer is shown.
//!
//! A command is a path, a query and a way to show the JSON that comes back; `--json` shows it as it came. Only `events
//! tail` asks more than once.

use super::client::{Client, ClientError};
use super::schedules::{self, Schedules};
use super::{Cli, Command, Contacts, DeadLetters, EventFilter, Events, Json, Outbox, Page, Plugins, Windows, show};
use crate::api::ContactEdit;
use crate::exit::{Exit, print};
use serde_json::Value;
use std::io::IsTerminal as _;

/// One question and the form of its answer.
pub struct Question<'a> {
    /// Below `/api/v1`.
    pub path: Vec<&'a str>,
    /// `name=value` behind it.
    pub query: Vec<(&'static str, String)>,
    /// As it came.
    pub json: bool,
    /// As text.
    pub show: fn(Value, show::Screen) -> Result<String, serde_json::Error>,
}

/// Asks the daemon and prints what it says.
pub async fn perform(cli: &Cli) -> Exit {
    match ask_all(cli).await {
        Ok(()) => Exit::Ok,
        Err(Ended::Output(exit)) => exit,
        Err(Ended::NoAnswer(why)) => {
            eprintln!("{why}");
            if matches!(why, ClientError::NotRunning { .. }) { Exit::NotRunning } else { Exit::Failed }
        }
    }
}

/// Why a command ended before its end.
enum Ended {
    /// The daemon did not answer, or said no.
    NoAnswer(ClientError),
    /// The output is closed, or could not be written.
    Output(Exit),
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        Ended::Output(exit)
    }
}

impl From<ClientError> for Ended {
    fn from(why: ClientError) -> Self {
        Ended::NoAnswer(why)
    }
}

impl From<serde_json::Error> for Ended {
    fn from(why: serde_json::Error) -> Self {
        let hint = "are the program and the daemon of the same version?";
        Ended::NoAnswer(ClientError::Garbled(format!("{why}; {hint}")))
    }
}

async fn ask_all(cli: &Cli) -> Result<(), Ended> {
    let client = Client::new(&cli.socket())?;
    match &cli.command {
        Command::Events(Events::Tail { filter, after, count, json }) => {
            tail(&client, filter, after.clone(), *count, *json).await
        }
        Command::DeadLetters(DeadLetters::Retry { ids }) => decide(&client, ids, "retry").await,
        Command::DeadLetters(DeadLetters::Drop { ids }) => decide(&client, ids, "drop").await,
        Command::Plugins(Plugins::Grant { name, capabilities }) => {
            order(&client, &["plugins", name, "grant", &capabilities.join(",")]).await
        }
        Command::Plugins(Plugins::Revoke { name, capabilities }) => {
            order(&client, &["plugins", name, "revoke", &capabilities.join(",")]).await
        }
        Command::Contacts(Contacts::Merge { keep, gone, dry_run, json }) => {
            let path = ["contacts", keep, "merge", gone];
            // What would move can be asked without a word that moves it.
            let answer = if *dry_run { client.get(&path, &[]).await } else { client.post(&path).await }?;
            Ok(print(&if json.json { pretty(&answer)? } else { show::merged(answer)? })?)
        }
        Command::Contacts(Contacts::Set { id, language, timezone }) => {
            let edit = ContactEdit { language: language.clone(), timezone: timezone.clone() };
            Ok(print(&show::done(client.patch(&["contacts", id], &edit).await?)?)?)
        }
        Command::Contacts(Contacts::MarkDistinct { one, other }) => {
            order(&client, &["contacts", one, "mark-distinct", other]).await
        }
        Command::Plugins(Plugins::Rollback { name, discard_state: false }) => {
            order(&client, &["plugins", name, "rollback"]).await
        }
        Command::Plugins(Plugins::Rollback { name, discard_state: true }) => {
            order(&client, &["plugins", name, "rollback", "discard-state"]).await
        }
        Command::Plugins(Plugins::Enable { name }) => order(&client, &["plugins", name, "enable"]).await,
        Command::Plugins(Plugins::Disable { name }) => order(&client, &["plugins", name, "disable"]).await,
        Command::Plugins(Plugins::Purge { name }) => order(&client, &["plugins", name, "purge"]).await,
        Command::Schedules(Schedules::Run { name, dry_run: false, json }) => {
            let done = client.post(&["schedules", name, "run"]).await?;
            Ok(print(&if json.json { pretty(&done)? } else { show::done(done)? })?)
        }
        command => match question(command) {
            Some(question) => {
                let answer = client.get(&question.path, &question.query).await?;
                let text = if question.json { pretty(&answer)? } else { (question.show)(answer, screen())? };
                Ok(print(&text)?)
            }
            None => Ok(()),
        },
    }
}

/// The question that a command is; `None` for those that ask nothing, or more than once.
pub fn question(command: &Command) -> Option<Question<'_>> {
    let one = |path: Vec<&'static str>, json: Json, show| Question { path, query: Vec::new(), json: json.json, show };
    Some(match command {
        Command::Status(json) => one(vec!["status"], *json, show::status),
        Command::Why { id, json } => {
            Question { path: vec!["why", id], query: Vec::new(), json: json.json, show: show::why }
        }
        Command::Plugins(Plugins::List(json)) => one(vec!["plugins"], *json, show::plugins),
        Command::Plugins(Plugins::Show { name, json }) => {
            Question { path: vec!["plugins", name], query: Vec::new(), json: json.json, show: show::plugin }
        }
        Command::Plugins(Plugins::Documents { name, json }) => {
            let path = vec!["plugins", name, "documents"];
            Question { path, query: Vec::new(), json: json.json, show: show::documents }
        }
        Command::Plugins(Plugins::State { name, of, prefix, after, page }) => {
            let path = vec!["plugins", name, "state"];
            let said = [("of", of), ("prefix", prefix), ("after", after)];
            let query = said.into_iter().filter_map(|(key, said)| Some((key, said.clone()?)));
            let query = query.chain([("limit", page.limit.to_string())]).collect();
            Question { path, query, json: page.json.json, show: show::state }
        }
        Command::Events(Events::List { filter, before, page }) => {
            let query = filtered(filter).chain(before.clone().map(|id| ("before", id)));
            list("events", query.collect(), page, show::events)
        }
        Command::Events(Events::Show { id, json }) => {
            Question { path: vec!["events", id], query: Vec::new(), json: json.json, show: show::event }
        }
        Command::DeadLetters(DeadLetters::List { plugin, page }) => {
            list("dead-letters", plugin.clone().map(|name| ("plugin", name)).into_iter().collect(), page, show::dead)
        }
        Command::DeadLetters(DeadLetters::Show { id, json }) => {
            Question { path: vec!["dead-letters", id], query: Vec::new(), json: json.json, show: show::dead_one }
        }
        Command::Outbox(Outbox::List { state, plugin, conversation, before, page }) => {
            let parts = [("state", state), ("plugin", plugin), ("conversation", conversation), ("before", before)];
            list("outbox", given(parts).collect(), page, show::outbox)
        }
        Command::Schedules(command) => return schedules::question(command),
        Command::Contacts(Contacts::List { after, page }) => {
            list("contacts", after.clone().map(|id| ("after", id)).into_iter().collect(), page, show::contacts)
        }
        Command::Contacts(Contacts::Duplicates { page }) => {
            let question = list("contacts", Vec::new(), page, show::duplicates);
            Question { path: vec!["contacts", "duplicates"], ..question }
        }
        Command::Contacts(Contacts::Show { id, json }) => {
            Question { path: vec!["contacts", id], query: Vec::new(), json: json.json, show: show::contact }
        }
        Command::Windows(Windows::List { by_hour: true, page, .. }) => {
            let question = list("windows", Vec::new(), page, show::windows_by_hour);
            Question { path: vec!["windows", "by-hour"], ..question }
        }
        Command::Windows(Windows::List { channel, within, page, .. }) => {
            let within = within.map(|ms| ms.to_string());
            list("windows", given([("channel", channel), ("within_ms", &within)]).collect(), page, show::windows)
        }
        _ => return None,
    })
}

type Show = fn(Value, show::Screen) -> Result<String, serde_json::Error>;

fn list<'a>(path: &'a str, mut query: Vec<(&'static str, String)>, page: &Page, show: Show) -> Question<'a> {
    query.push(("limit", page.limit.to_string()));
    Question { path: vec![path], query, json: page.json.json, show }
}

fn filtered(filter: &EventFilter) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let EventFilter { kind, contact, conversation, state } = filter;
    given([("kind", kind), ("contact", contact), ("conversation", conversation), ("state", state)])
}

/// Those that were given.
fn given<const N: usize>(
    parts: [(&'static str, &Option<String>); N],
) -> impl Iterator<Item = (&'static str, String)> + use<N> {
    parts.map(|(name, value)| value.clone().map(|value| (name, value))).into_iter().flatten()
}

/// Has something done and says what was.
async fn order(client: &Client, path: &[&str]) -> Result<(), Ended> {
    Ok(print(&show::done(client.post(path).await?)?)?)
}

/// Retries or drops each; what is said about one does not keep the others from it.
async fn decide(client: &Client, ids: &[String], what: &str) -> Result<(), Ended> {
    let mut last = Ok(());
    for id in ids {
        match client.post(&["dead-letters", id, what]).await {
            Ok(answer) => print(&show::done(answer)?)?,
            Err(ClientError::Refused(problem)) => {
                eprintln!("{id}: {} ({})", problem.message, problem.code);
                last = Err(ClientError::Refused(problem).into());
            }
            Err(why) => return Err(why.into()),
        }
    }
    last
}

/// How long the daemon may keep a question open for something to happen.
const WAIT_MS: &str = "20000";

/// Prints events as they come.
async fn tail(
    client: &Client,
    filter: &EventFilter,
    mut after: Option<String>,
    count: Option<u64>,
    json: Json,
) -> Result<(), Ended> {
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let mut query: Vec<_> = filtered(filter).collect();
        query.push(("wait_ms", WAIT_MS.into()));
        query.extend(after.clone().map(|id| ("after", id)));
        let mut answer = client.get(&["events", "tail"], &query).await?;
        after = answer.get("next").and_then(Value::as_str).map(str::to_owned).or(after);
        let Some(Value::Array(items)) = answer.get_mut("items").map(Value::take) else { continue };
        for item in items.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            left -= 1;
            print(&if json.json { format!("{item}\n") } else { show::tailed(item)? })?;
        }
    }
    Ok(())
}

/// The terminal, where the output goes to one.
fn screen() -> show::Screen {
    let width = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    show::Screen { width: width.map(|(width, _)| width.0.into()) }
}

fn pretty(value: &Value) -> Result<String, serde_json::Error> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}
