//! What each command requests from the daemon, and how its result is printed.
//!
//! A read-only command is one [`Query`]: a path, parameters and a function that shows the JSON.
//! With `--json` the response is printed as received. Results go to stdout; hints and errors go to
//! stderr.

use super::args::{
    Broadcasts, Cli, Command, Consents, Contacts, Costs, DeadLetters, Erasures, EventFilter, Events, Fill, Gate, Json,
    Lists, Outbox, Page, Plugins, Requests, Retention, Schedules, Segments, Templates, Windows,
};
use super::client::{Client, ClientError};
use super::definition;
use super::end::{End, write};
use super::lists;
use super::qr;
use super::show::{self, Screen};
use super::table::{json, json_line, terminal_width};
use super::transfer;
use crate::api::{Approval, BroadcastResume, BroadcastTest, BroadcastView, NewBroadcast};
use crate::api::{ConsentLinks, ConsentReport, ContactEdit, ExportRow, Import, ImportView, List, PersonData};
use crate::exit::{Exit, print};
use crate::privacy::{HtmlWriter, JsonWriter, PersonWriter};
use beadle_model::text::visible_lines;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::Path;
use std::time::Duration;

/// Only the owner of a file with personal data may read it.
#[cfg(unix)]
const PRIVATE_MODE: u32 = 0o600;

/// A `GET` request and how its response is shown.
pub struct Query<'a> {
    /// Path below `/api/v1`.
    pub path: Vec<&'a str>,
    /// Query parameters.
    pub params: Vec<(&'static str, String)>,
    /// Print the response as JSON.
    pub json: bool,
    /// Maximum number of items, for lists.
    pub limit: Option<u32>,
    /// Formats the response as text.
    pub show: Show,
}

type Show = fn(Value, Screen) -> show::Result;

/// Runs a command that needs the daemon.
pub async fn perform(cli: &Cli) -> Exit {
    match run(cli).await {
        Ok(()) => Exit::Ok,
        Err(End::Output(exit)) => exit,
        Err(End::Client(error)) => {
            report(&error);
            if matches!(error, ClientError::NotRunning { .. }) { Exit::NotRunning } else { Exit::Failed }
        }
    }
}

fn report(error: &ClientError) {
    let text = visible_lines(&error.to_string());
    match error.code() {
        Some(code) => eprintln!("error[{code}]: {text}"),
        None => eprintln!("error: {text}"),
    }
    eprintln!("hint: {}", error.hint());
}

async fn run(cli: &Cli) -> Result<(), End> {
    let client = Client::new(&cli.socket())?;
    match &cli.command {
        Command::Events(Events::Tail { filter, after, count, json }) => {
            tail(&client, filter, after.clone(), *count, *json).await
        }
        Command::Events(Events::List { filter, follow: true, page, .. }) => {
            let after = latest(&client, filter, page).await?;
            tail(&client, filter, after, None, page.json).await
        }
        Command::DeadLetters(DeadLetters::List { follow: true, page, .. })
        | Command::Schedules(Schedules::History { follow: true, page, .. }) => {
            let Some(query) = query(&cli.command) else { return Ok(()) };
            follow(&client, &query, page.json).await
        }
        Command::DeadLetters(DeadLetters::Retry(letters)) => for_each(&client, &letters.ids, "retry").await,
        Command::DeadLetters(DeadLetters::Drop(letters)) => for_each(&client, &letters.ids, "drop").await,
        Command::Plugins(Plugins::Grant { name, capabilities }) => {
            post(&client, &["plugins", name, "grant", &capabilities.join(",")]).await
        }
        Command::Plugins(Plugins::Revoke { name, capabilities }) => {
            post(&client, &["plugins", name, "revoke", &capabilities.join(",")]).await
        }
        Command::Plugins(Plugins::Rollback { name, discard_state: false }) => {
            post(&client, &["plugins", name, "rollback"]).await
        }
        Command::Plugins(Plugins::Rollback { name, discard_state: true }) => {
            post(&client, &["plugins", name, "rollback", "discard-state"]).await
        }
        Command::Plugins(Plugins::Enable { name }) => post(&client, &["plugins", name, "enable"]).await,
        Command::Plugins(Plugins::Disable { name }) => post(&client, &["plugins", name, "disable"]).await,
        Command::Plugins(Plugins::Purge { name }) => post(&client, &["plugins", name, "purge"]).await,
        Command::Contacts(Contacts::Merge { contact, other, dry_run, json }) => {
            let path = ["contacts", contact, "merge", other];
            let merge = if *dry_run { client.get(&path, &[]).await } else { client.post(&path).await }?;
            if json.json { Ok(print(&pretty(&merge)?)?) } else { write(show::merge(merge)?) }
        }
        Command::Contacts(Contacts::Set { id, values }) => {
            let edit = ContactEdit {
                language: values.language.clone(),
                timezone: values.timezone.clone(),
                role: values.role.clone(),
                attributes: values.attribute.iter().cloned().collect(),
                release: values.release,
                ..ContactEdit::default()
            };
            write(show::done(client.patch(&["contacts", id], &edit).await?)?)
        }
        Command::Contacts(Contacts::Tag { id, tags, remove }) => {
            let edit = ContactEdit { add_tags: tags.clone(), remove_tags: remove.clone(), ..ContactEdit::default() };
            write(show::done(client.patch(&["contacts", id], &edit).await?)?)
        }
        Command::Contacts(Contacts::Export { id: Some(id), format, output }) => {
            export_person(&client, id, format.as_deref(), output.as_deref()).await
        }
        Command::Contacts(Contacts::Erase { id, yes, json }) => erase(&client, id, *yes, *json).await,
        Command::Contacts(Contacts::Import { .. } | Contacts::Export { .. }) => {
            transfer_contacts(&client, &cli.command).await
        }
        Command::Contacts(Contacts::CloseRequest { id }) => {
            post(&client, &["contacts", "requests", &id.to_string(), "close"]).await
        }
        Command::Consents(Consents::Record { id, purpose, source, wording, at, evidence, confirmed }) => {
            let report = ConsentReport {
                purpose: purpose.clone(),
                granted: true,
                source: source.clone(),
                wording: wording.clone(),
                at: time(at.as_deref())?,
                evidence: evidence.clone(),
                confirmed: *confirmed,
            };
            write(show::done(client.post_json(&["contacts", id, "consents"], &report).await?)?)
        }
        Command::Consents(Consents::Withdraw { id, purpose, source, at, evidence }) => {
            let report = ConsentReport {
                purpose: purpose.clone(),
                granted: false,
                source: source.clone(),
                wording: None,
                at: time(at.as_deref())?,
                evidence: evidence.clone(),
                confirmed: false,
            };
            write(show::done(client.post_json(&["contacts", id, "consents"], &report).await?)?)
        }
        Command::Consents(Consents::Verify { json }) => verify(&client, *json).await,
        Command::Consents(Consents::Link { .. }) => link(&client, &cli.command).await,
        Command::Contacts(Contacts::MarkDistinct { contact, other }) => {
            post(&client, &["contacts", contact, "mark-distinct", other]).await
        }
        Command::Lists(Lists::Create { .. } | Lists::Add { .. } | Lists::Remove { .. } | Lists::Delete { .. }) => {
            lists::change(&client, &cli.command).await
        }
        Command::Erasures(Erasures::Show { id, json }) => {
            let receipt = client.get(&["erasures", &id.to_string()], &[]).await?;
            if json.json { Ok(print(&pretty(&receipt)?)?) } else { write(show::erasure(receipt)?) }
        }
        Command::Schedules(Schedules::Run { name, dry_run: false, json }) => {
            let done = client.post(&["schedules", name, "run"]).await?;
            if json.json { Ok(print(&pretty(&done)?)?) } else { write(show::done(done)?) }
        }
        Command::Templates(Templates::Sync) => post(&client, &["templates", "sync"]).await,
        Command::Broadcasts(command) => broadcasts(&client, command).await,
        command => match query(command) {
            Some(query) => get(&client, &query).await,
            None => Ok(()),
        },
    }
}

/// The query of a read-only command; `None` for all others.
pub fn query(command: &Command) -> Option<Query<'_>> {
    Some(match command {
        Command::Status(json) => one(["status"], *json, show::status),
        Command::Why { id, json } => one(["why", id], *json, show::why),
        Command::Plugins(command) => return plugins(command),
        Command::Events(Events::List { filter, before, page, .. }) => {
            let params = filters(filter).chain(set_params([("before", before)]));
            list(["events"], params.collect(), page, show::events)
        }
        Command::Events(Events::Show { id, json }) => one(["events", id], *json, show::event),
        Command::DeadLetters(DeadLetters::List { plugin, before, page, .. }) => {
            let params = set_params([("plugin", plugin), ("before", before)]).collect();
            list(["dead-letters"], params, page, show::dead_letters)
        }
        Command::DeadLetters(DeadLetters::Show { id, json }) => one(["dead-letters", id], *json, show::dead_letter),
        Command::Outbox(Outbox::List { state, plugin, conversation, before, page }) => {
            let params = [("state", state), ("plugin", plugin), ("conversation", conversation), ("before", before)];
            let show = if state.is_some() { show::outbox } else { show::outbox_waiting };
            list(["outbox"], set_params(params).collect(), page, show)
        }
        Command::Schedules(command) => return schedules(command),
        Command::Contacts(Contacts::List { after, page }) => {
            list(["contacts"], set_params([("after", after)]).collect(), page, show::contacts)
        }
        Command::Contacts(Contacts::Duplicates { page }) => {
            list(["contacts", "duplicates"], Vec::new(), page, show::duplicates)
        }
        Command::Contacts(Contacts::Show { id, json }) => one(["contacts", id], *json, show::contact),
        Command::Contacts(Contacts::Requests { page }) => {
            list(["contacts", "requests"], Vec::new(), page, show::requests)
        }
        Command::Consents(Consents::List { before, page }) => {
            let before = before.map(|id| id.to_string());
            list(["consents"], set_params([("before", &before)]).collect(), page, show::consents)
        }
        Command::Consents(Consents::Show { id, json }) => one(["contacts", id, "consents"], *json, show::consent),
        Command::Retention(Retention::Plan(json)) => one(["retention", "plan"], *json, show::retention_plan),
        Command::Erasures(Erasures::List { before, page }) => {
            let before = before.map(|id| id.to_string());
            list(["erasures"], set_params([("before", &before)]).collect(), page, show::erasures)
        }
        Command::Requests(Requests::List { plugin, given_up, before, page }) => {
            let given_up = given_up.then(|| "true".to_owned());
            let params = [("plugin", plugin), ("given_up", &given_up), ("before", before)];
            list(["requests"], set_params(params).collect(), page, show::durable_requests)
        }
        Command::Requests(Requests::Show { id, json }) => one(["requests", id], *json, show::durable_request),
        Command::Windows(Windows::List { by_hour: true, page, .. }) => {
            list(["windows", "by-hour"], Vec::new(), page, show::windows_by_hour)
        }
        Command::Windows(Windows::List { channel, within, page, .. }) => {
            let within = within.map(|ms| ms.to_string());
            list(["windows"], set_params([("channel", channel), ("within_ms", &within)]).collect(), page, show::windows)
        }
        Command::Segments(command) => segments(command),
        Command::Lists(Lists::List { after, page }) => {
            list(["lists"], set_params([("after", after)]).collect(), page, show::people_lists)
        }
        Command::Lists(Lists::Show { name, after, page }) => {
            list(["lists", name, "members"], set_params([("after", after)]).collect(), page, show::people_list_members)
        }
        Command::Templates(command) => return templates(command),
        Command::Broadcasts(command) => return broadcast_query(command),
        Command::Costs(Costs { by, from, to, json }) => {
            let params = [("by", Some(by.clone())), ("from", from.clone()), ("to", to.clone())];
            let params = params.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            Query { params, ..one(["costs"], *json, show::costs) }
        }
        Command::Gate(Gate::Explain { recipient, text, template, fill, purpose, plugin, channel, json }) => {
            let params = set_params([("text", text), ("template", template), ("purpose", purpose), ("plugin", plugin)]);
            let params = params.chain(set_params([("channel", channel)])).chain(fill_params(fill)).collect();
            Query { params, ..one(["gate", "explain", recipient], *json, show::gate) }
        }
        _ => return None,
    })
}

fn templates(command: &Templates) -> Option<Query<'_>> {
    Some(match command {
        Templates::List { channel, status, after, page } => {
            let params = [("channel", channel), ("status", status), ("after", after)];
            list(["templates"], set_params(params).collect(), page, show::templates)
        }
        Templates::Show { name, channel, json } => {
            let params = set_params([("channel", channel)]).collect();
            Query { params, ..one(["templates", "named", name], *json, show::template) }
        }
        Templates::Lint { page } => list(["templates", "lint"], Vec::new(), page, show::lint),
        Templates::Preview { name, fill, channel, json } => {
            let params = set_params([("channel", channel)]).chain(fill_params(fill)).collect();
            Query { params, ..one(["templates", "named", name, "preview"], *json, show::preview) }
        }
        Templates::Sync => return None,
    })
}

fn segments(command: &Segments) -> Query<'_> {
    match command {
        Segments::List { after, page } => {
            list(["segments"], set_params([("after", after)]).collect(), page, show::segments)
        }
        Segments::Count { name, json } => one(["segments", name, "count"], *json, show::segment_count),
        Segments::Members { name, after, page } => {
            list(["segments", name, "members"], set_params([("after", after)]).collect(), page, show::segment_members)
        }
        Segments::Explain { name, contact, json } => {
            one(["segments", name, "explain", contact], *json, show::segment_explanation)
        }
    }
}

/// The parameters of a template as one JSON array, because a query may have each name once.
fn fill_params(fill: &Fill) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let parameters = (!fill.parameters.is_empty()).then(|| Value::from(fill.parameters.clone()).to_string());
    set_params([("language", &fill.language), ("parameters", &parameters)])
}

fn plugins(command: &Plugins) -> Option<Query<'_>> {
    Some(match command {
        Plugins::List { page } => list(["plugins"], Vec::new(), page, show::plugins),
        Plugins::Show { name, json } => one(["plugins", name], *json, show::plugin),
        Plugins::Documents { name, page } => list(["plugins", name, "documents"], Vec::new(), page, show::documents),
        Plugins::State { name, scope, prefix, after, page } => {
            let params = set_params([("scope", scope), ("prefix", prefix), ("after", after)]);
            list(["plugins", name, "state"], params.collect(), page, show::state)
        }
        _ => return None,
    })
}

fn schedules(command: &Schedules) -> Option<Query<'_>> {
    Some(match command {
        Schedules::List { after, page } => {
            list(["schedules"], set_params([("after", after)]).collect(), page, show::schedules)
        }
        Schedules::Show { name, json } => one(["schedules", name], *json, show::schedule),
        Schedules::Next { name, limit, json } => {
            let query = one(["schedules", name, "next"], *json, show::next_firings);
            Query { params: vec![("count", limit.to_string())], ..query }
        }
        Schedules::Run { name, dry_run: true, json } => one(["schedules", name, "run"], *json, show::schedule_dry_run),
        Schedules::Run { dry_run: false, .. } => return None,
        Schedules::History { name, before, page, .. } => {
            let before = before.map(|id| id.to_string());
            list(["schedules", name, "history"], set_params([("before", &before)]).collect(), page, show::firings)
        }
    })
}

fn broadcast_query(command: &Broadcasts) -> Option<Query<'_>> {
    Some(match command {
        Broadcasts::List { before, page } => {
            list(["broadcasts"], set_params([("before", before)]).collect(), page, show::broadcasts)
        }
        Broadcasts::Show { broadcast, json, .. } => one(["broadcasts", broadcast], *json, show::broadcast),
        Broadcasts::Recipients { broadcast, state, after, page } => {
            let params = set_params([("state", state), ("after", after)]).collect();
            list(["broadcasts", broadcast, "recipients"], params, page, show::recipients)
        }
        _ => return None,
    })
}

/// Commands to broadcasts.
async fn broadcasts(client: &Client, command: &Broadcasts) -> Result<(), End> {
    let print_view = |response: Value, json: &Json| {
        if json.json { Ok(print(&pretty(&response)?)?) } else { write(show::broadcast(response, screen())?) }
    };
    match command {
        Broadcasts::Create { file, by, json } => {
            let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
            let Some(by) = by.clone().or_else(user) else {
                eprintln!("error: `USER` is not set; name the creator with `--by NAME`");
                return Err(End::Output(Exit::Usage));
            };
            let broadcast = definition::read(file).map_err(|error| {
                eprintln!("error[broadcast-invalid]: {error}");
                End::Output(Exit::Failed)
            })?;
            print_view(client.post_json(&["broadcasts"], &NewBroadcast { by, broadcast }).await?, json)
        }
        Broadcasts::Plan { broadcast, json } => {
            print_view(client.post_json(&["broadcasts", broadcast, "plan"], &Value::Null).await?, json)
        }
        Broadcasts::Test { broadcast, contacts } => {
            let test = BroadcastTest { contacts: contacts.clone() };
            write(show::done(client.post_json(&["broadcasts", broadcast, "test"], &test).await?)?)
        }
        Broadcasts::Approve { broadcast, by } => {
            let approval = Approval { by: by.clone() };
            write(show::done(client.post_json(&["broadcasts", broadcast, "approve"], &approval).await?)?)
        }
        Broadcasts::Resume { broadcast, failed } => {
            let resume = BroadcastResume { failed: *failed };
            write(show::done(client.post_json(&["broadcasts", broadcast, "resume"], &resume).await?)?)
        }
        Broadcasts::Start { broadcast } => {
            post(client, &["broadcasts", broadcast, "start"]).await?;
            eprintln!("hint: `beadle broadcasts show {broadcast} --follow` shows its progress");
            Ok(())
        }
        Broadcasts::Pause { broadcast } => post(client, &["broadcasts", broadcast, "pause"]).await,
        Broadcasts::Stop { broadcast } => post(client, &["broadcasts", broadcast, "stop"]).await,
        Broadcasts::Show { broadcast, follow: true, json } => follow_broadcast(client, broadcast, *json).await,
        Broadcasts::List { .. } | Broadcasts::Show { .. } | Broadcasts::Recipients { .. } => {
            match broadcast_query(command) {
                Some(query) => get(client, &query).await,
                None => Ok(()),
            }
        }
    }
}

/// The interval between two requests for progress.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Shows progress until the broadcast ends or pauses. A terminal has one line that changes;
/// elsewhere each change is a line.
async fn follow_broadcast(client: &Client, broadcast: &str, json: Json) -> Result<(), End> {
    let is_terminal = screen().width.is_some() && !json.json;
    let mut last = String::new();
    loop {
        let response = client.get(&["broadcasts", broadcast], &[]).await?;
        let view: BroadcastView = serde_json::from_value(response.clone())?;
        let has_ended = !matches!(&*view.row.state, "draft" | "planned" | "sending");
        let line = if json.json { json_line(&response)? } else { format!("{}\n", show::progress_bar(&view, screen())) };
        if is_terminal {
            // Back to the start of the line, and clear it.
            print(&format!("\r\x1b[2K{}", line.trim_end()))?;
        } else if line != last {
            print(&line)?;
        }
        last = line;
        if has_ended {
            if is_terminal {
                print("\n\n")?;
            }
            return if json.json { Ok(()) } else { write(show::broadcast(response, screen())?) };
        }
        tokio::time::sleep(PROGRESS_INTERVAL).await;
    }
}

/// Imports or exports contacts.
async fn transfer_contacts(client: &Client, command: &Command) -> Result<(), End> {
    let failed = |message: String| {
        eprintln!("error: {message}");
        End::Output(Exit::Failed)
    };
    match command {
        Command::Contacts(Contacts::Import {
            file,
            channel,
            consent_source,
            consent_purpose,
            consent_wording,
            dry_run,
            json,
        }) => {
            let read = transfer::read(file).map_err(failed)?;
            let (mut rows, problems) = (read.rows, read.problems);
            let says_nothing = |row: &&mut crate::api::ImportRow| {
                row.consent_source.is_none() && row.consent_purpose.is_none() && row.consent_wording.is_none()
            };
            for row in rows.iter_mut().filter(says_nothing) {
                row.consent_source.clone_from(consent_source);
                row.consent_purpose.clone_from(consent_purpose);
                row.consent_wording.clone_from(consent_wording);
            }
            // Everything that is wrong is reported at once, so the daemon checks the other rows
            // too.
            let import = Import { dry_run: *dry_run || !problems.is_empty(), channel: channel.clone(), rows };
            let mut view: ImportView =
                serde_json::from_value(client.post_json(&["contacts", "import"], &import).await?)?;
            view.problems.extend(problems);
            view.problems.sort_by_key(|problem| problem.line);
            let is_broken = !view.problems.is_empty();
            let response = serde_json::to_value(view)?;
            if json.json {
                print(&pretty(&response)?)?
            } else {
                write(show::import(response)?)?
            }
            if is_broken { Err(End::Output(Exit::Failed)) } else { Ok(()) }
        }
        Command::Contacts(Contacts::Export { output: file, .. }) => {
            let mut rows: Vec<ExportRow> = Vec::new();
            let mut after: Option<String> = None;
            loop {
                let params = [("limit", "1000".to_owned())];
                let params: Vec<_> = params.into_iter().chain(after.clone().map(|id| ("after", id))).collect();
                let page: List<ExportRow> =
                    serde_json::from_value(client.get(&["contacts", "export"], &params).await?)?;
                rows.extend(page.items);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let text = transfer::write(&rows, file.as_deref()).map_err(failed)?;
            match file {
                None => Ok(print(&text)?),
                Some(path) => {
                    let written = create_private(path).and_then(|mut file| file.write_all(text.as_bytes()));
                    written.map_err(|error| failed(format!("{}: {error}", path.display())))?;
                    Ok(print(&format!("Wrote {} contacts to {}.\n", rows.len(), path.display()))?)
                }
            }
        }
        _ => Ok(()),
    }
}

/// A new file that only its owner can read, or an existing one that is made so and emptied.
fn create_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE_MODE);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(PRIVATE_MODE))?;
    Ok(file)
}

/// Writes everything that is stored about a person, page by page.
async fn export_person(client: &Client, id: &str, format: Option<&str>, path: Option<&Path>) -> Result<(), End> {
    let failed = |error: std::io::Error| {
        eprintln!(
            "error: {}: {error}",
            path.map_or_else(|| "standard output".into(), |path| path.display().to_string())
        );
        End::Output(Exit::Failed)
    };
    // Before anything is created: an unknown contact leaves no empty file.
    let mut data: PersonData = serde_json::from_value(client.get(&["contacts", id, "data"], &[]).await?)?;
    let to: Box<dyn Write> = match path {
        Some(path) => Box::new(BufWriter::new(create_private(path).map_err(failed)?)),
        None => Box::new(std::io::stdout().lock()),
    };
    let is_page = path.and_then(Path::extension).is_some_and(|extension| extension.eq_ignore_ascii_case("html"));
    let mut writer: Box<dyn PersonWriter> = match format {
        Some("html") => Box::new(HtmlWriter::new(to)),
        None if is_page => Box::new(HtmlWriter::new(to)),
        _ => Box::new(JsonWriter::new(to)),
    };
    loop {
        writer.write(&data).map_err(failed)?;
        let Some(after) = data.next else { break };
        data = serde_json::from_value(client.get(&["contacts", id, "data"], &[("after", after)]).await?)?;
    }
    writer.finish().map_err(failed)?;
    match path {
        Some(path) => Ok(print(&format!("Wrote everything about {id} to {}.\n", path.display()))?),
        None => Ok(()),
    }
}

/// Erases a person, after a confirmation if someone is at the terminal.
async fn erase(client: &Client, id: &str, yes: bool, json: Json) -> Result<(), End> {
    if !yes {
        let contact = client.get(&["contacts", id], &[]).await?;
        let name = contact.get("name").and_then(Value::as_str).unwrap_or("no name");
        if !std::io::stdin().is_terminal() {
            eprintln!("error: there is no terminal to confirm the erasure; add --yes to erase without asking");
            return Err(End::Output(Exit::Usage));
        }
        eprintln!("This erases everything that is stored about {id} ({}). It cannot be undone.", visible_lines(name));
        eprint!("Type {id} to confirm: ");
        let mut typed = String::new();
        let read = std::io::stdin().read_line(&mut typed);
        if read.is_err() || typed.trim() != id {
            eprintln!("Nothing was erased.");
            return Err(End::Output(Exit::Failed));
        }
    }
    let receipt = client.post(&["contacts", id, "erase"]).await?;
    if json.json {
        return Ok(print(&pretty(&receipt)?)?);
    }
    let number = receipt.get("id").and_then(Value::as_i64).unwrap_or_default();
    print(&format!("Erasure {number} of {id} has begun: nothing is sent to them from now on.\n"))?;
    eprintln!("hint: run `beadle erasures show {number}` to see when it is complete");
    Ok(())
}

/// Checks the ledger; a broken one is a failure.
async fn verify(client: &Client, json: Json) -> Result<(), End> {
    let response = client.get(&["consents", "verify"], &[]).await?;
    let is_broken = response.get("problems").and_then(Value::as_array).is_some_and(|problems| !problems.is_empty());
    print(&if json.json { pretty(&response)? } else { show::consent_check(response)?.text })?;
    if is_broken { Err(End::Output(Exit::Failed)) } else { Ok(()) }
}

/// Shows the links of a wording, and draws the QR code of one of them.
async fn link(client: &Client, command: &Command) -> Result<(), End> {
    let Command::Consents(Consents::Link { wording, channel, qr, form, json }) = command else { return Ok(()) };
    let params: Vec<_> = set_params([("channel", channel)]).collect();
    let response = client.get(&["consents", "links", wording], &params).await?;
    let links: ConsentLinks = serde_json::from_value(response.clone())?;
    print(&if json.json { pretty(&response)? } else { show::consent_links(&links) })?;
    if let Some(problem) = &links.problem {
        eprintln!("error[{}]: {}", problem.code, visible_lines(&problem.message));
    }
    let drawn = if *form { &links.form } else { links.chat.as_ref().map_or(&links.form, |_| &links.chat) };
    let Some(drawn) = drawn else {
        eprintln!("error: {}", show::no_link(&links, *form));
        return Err(End::Output(Exit::Failed));
    };
    let failed = |error: String| {
        eprintln!("error: {}", visible_lines(&error));
        End::Output(Exit::Failed)
    };
    let code = qr::Code::new(drawn).map_err(failed)?;
    if let Some(width) = terminal_width().filter(|_| !json.json) {
        match code.for_terminal(width) {
            Some(picture) => print(&picture)?,
            None => eprintln!("hint: the terminal is too narrow for the QR code; write it to a file with --qr"),
        }
    }
    if let Some(path) = qr {
        code.write(path).map_err(failed)?;
        eprintln!("QR code of {drawn} written to {}", visible_lines(&path.display().to_string()));
    }
    if links.problem.is_some() { Err(End::Output(Exit::Failed)) } else { Ok(()) }
}

/// An RFC 3339 time stamp in milliseconds.
fn time(text: Option<&str>) -> Result<Option<i64>, End> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Ok(Some(at.as_millisecond())),
        Err(_) => {
            eprintln!("error: `{text}` is not a time such as 2026-11-29T10:00:00Z");
            Err(End::Output(Exit::Usage))
        }
    }
}

fn one<'a, const N: usize>(path: [&'a str; N], json: Json, show: Show) -> Query<'a> {
    Query { path: path.to_vec(), params: Vec::new(), json: json.json, limit: None, show }
}

fn list<'a, const N: usize>(
    path: [&'a str; N],
    mut params: Vec<(&'static str, String)>,
    page: &Page,
    show: Show,
) -> Query<'a> {
    params.push(("limit", page.limit.to_string()));
    Query { path: path.to_vec(), params, json: page.json.json, limit: Some(page.limit), show }
}

fn filters(filter: &EventFilter) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let EventFilter { kind, contact, conversation, state } = filter;
    set_params([("kind", kind), ("contact", contact), ("conversation", conversation), ("state", state)])
}

/// The parameters that have a value.
fn set_params<const N: usize>(
    params: [(&'static str, &Option<String>); N],
) -> impl Iterator<Item = (&'static str, String)> + use<N> {
    params.map(|(name, value)| value.clone().map(|value| (name, value))).into_iter().flatten()
}

async fn get(client: &Client, query: &Query<'_>) -> Result<(), End> {
    let mut response = client.get(&query.path, &query.params).await?;
    let hidden = query.limit.map_or(0, |limit| truncate(&mut response, limit));
    if query.json {
        return Ok(print(&pretty(&response)?)?);
    }
    let mut output = (query.show)(response, screen())?;
    if hidden > 0 {
        output.hints.push(format!("{hidden} more; increase --limit to see them"));
    }
    write(output)
}

/// Cuts a list that the daemon does not page; returns how many items were cut.
fn truncate(response: &mut Value, limit: u32) -> usize {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(Value::Array(items)) = response.get_mut("items") else { return 0 };
    let hidden = items.len().saturating_sub(limit);
    items.truncate(limit);
    hidden
}

/// Sends a command and prints what was done.
async fn post(client: &Client, path: &[&str]) -> Result<(), End> {
    write(show::done(client.post(path).await?)?)
}

/// Retries or drops each dead letter; a refused one does not prevent the others.
async fn for_each(client: &Client, ids: &[String], action: &str) -> Result<(), End> {
    let mut result = Ok(());
    for id in ids {
        match client.post(&["dead-letters", id, action]).await {
            Ok(done) => write(show::done(done)?)?,
            Err(error) if error.is_refusal() => {
                report(&error);
                result = Err(End::Output(Exit::Failed));
            }
            Err(error) => return Err(error.into()),
        }
    }
    result
}

/// How long the daemon holds a long poll open.
const LONG_POLL_MS: &str = "20000";

/// Prints events as they arrive.
async fn tail(
    client: &Client,
    filter: &EventFilter,
    mut after: Option<String>,
    count: Option<u64>,
    json: Json,
) -> Result<(), End> {
    let mut left = count.unwrap_or(u64::MAX);
    while left > 0 {
        let mut params: Vec<_> = filters(filter).collect();
        params.push(("wait_ms", LONG_POLL_MS.into()));
        params.extend(after.clone().map(|id| ("after", id)));
        let mut response = client.get(&["events", "tail"], &params).await?;
        after = response.get("next").and_then(Value::as_str).map(str::to_owned).or(after);
        let Some(Value::Array(items)) = response.get_mut("items").map(Value::take) else { continue };
        for item in items.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            left -= 1;
            print(&if json.json { json_line(&item)? } else { show::event_line(item)? })?;
        }
    }
    Ok(())
}

/// Prints the latest events, oldest first; returns the id of the newest.
async fn latest(client: &Client, filter: &EventFilter, page: &Page) -> Result<Option<String>, End> {
    let params: Vec<_> = filters(filter).chain([("limit", page.limit.to_string())]).collect();
    let mut response = client.get(&["events"], &params).await?;
    let Some(Value::Array(items)) = response.get_mut("items").map(Value::take) else { return Ok(None) };
    let newest = items.first().and_then(|item| item.get("id")).and_then(Value::as_str).map(str::to_owned);
    for item in items.into_iter().rev() {
        print(&if page.json.json { json_line(&item)? } else { show::event_line(item)? })?;
    }
    Ok(newest)
}

/// How often a followed list is requested again. Dead letters and firings are rare.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(2);

/// Prints a list that is sorted newest first, oldest first, and then new items as they appear.
async fn follow(client: &Client, query: &Query<'_>, json: Json) -> Result<(), End> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut is_first = true;
    loop {
        let mut response = client.get(&query.path, &query.params).await?;
        let Some(Value::Array(items)) = response.get_mut("items").map(Value::take) else { return Ok(()) };
        let ids: BTreeSet<String> = items.iter().filter_map(|item| Some(item.get("id")?.to_string())).collect();
        let mut new: Vec<Value> =
            items.into_iter().filter(|item| item.get("id").is_some_and(|id| !seen.contains(&id.to_string()))).collect();
        new.reverse();
        seen = ids;
        if json.json {
            for item in new {
                print(&json_line(&item)?)?;
            }
        } else if !new.is_empty() {
            if let Some(list) = response.as_object_mut() {
                list.insert("items".into(), new.into());
                list.remove("next");
            }
            let text = (query.show)(response, screen())?.text;
            // The heading is printed once.
            let rows = if is_first { &*text } else { text.split_once('\n').map_or("", |(_, rows)| rows) };
            print(rows)?;
            is_first = false;
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

fn screen() -> Screen {
    Screen { width: terminal_width() }
}

fn pretty(value: &Value) -> Result<String, serde_json::Error> {
    Ok(format!("{}\n", json(value)?))
}
