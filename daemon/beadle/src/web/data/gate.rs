//! Templates, and what the gate says about a message.

use super::query::{Answer, page_size, read};
use crate::api::{
    AccountState, Done, GateCheck, GateView, LintRow, List, Problem, TemplateCandidate, TemplateDetails, TemplateList,
    TemplatePreview, TemplateRow, TemplateText, TemplateView,
};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_gate::templates::{self, Preview};
use beadle_gate::{Draft, GateVerdict};
use beadle_model::outgoing::{Parameter, ParameterValue, Template};
use beadle_model::text::counted;
use beadle_model::{
    CheckOutcome, ContactId, ConversationId, ConversationView, Outgoing, PluginNo, Purpose, Refusal, TemplateDefinition,
};
use beadle_store::{AccountRow, Reader, TemplateFilter};
use serde::Deserialize;
use std::sync::Arc;

/// Filters of a list.
#[derive(Debug, Deserialize)]
pub struct ListQuery {
    channel: Option<String>,
    status: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

/// `GET /templates`
pub async fn templates(State(admin): State<Arc<Admin>>, Query(query): Query<ListQuery>) -> Answer<TemplateList> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let after = query.after.as_deref().map(|after| {
        let (name, language) = after.split_once('/').unwrap_or((after, ""));
        (name.to_owned(), language.to_owned())
    });
    let (channel, status) = (query.channel, query.status.map(|status| status.to_lowercase()));
    let filter = TemplateFilter { channel, name: None, status, after, limit };
    let without = admin.channels.iter().filter(|channel| channel.business_account_id.is_none());
    let channels_without_account = without.map(|channel| channel.name.clone()).collect();
    let list = read(&admin, move |reader, _| {
        let found = reader.templates(&filter)?;
        let next = found.last().filter(|_| found.len() == limit).map(|(_, it)| format!("{}/{}", it.name, it.language));
        let accounts = reader.accounts()?.into_iter().map(account_state).collect();
        let items = found.iter().map(|(account, definition)| row(account, definition)).collect();
        Ok(TemplateList { now, items, next, accounts, channels_without_account })
    });
    Ok(Json(list.await?))
}

fn account_state(it: AccountRow) -> AccountState {
    AccountState {
        account: it.account,
        channels: it.channels,
        templates: it.templates,
        fetched_at: it.fetched_at.map(|at| at.as_ms()),
        error: it.error.map(|(error, _)| error),
    }
}

fn row(account: &str, it: &TemplateDefinition) -> TemplateRow {
    TemplateRow {
        name: it.name.clone(),
        language: it.language.clone(),
        account: account.to_owned(),
        category: it.category.clone(),
        status: it.status.clone(),
        quality: it.quality.clone(),
        reason: it.reason.clone(),
        changed_at: it.changed_at.as_ms(),
        parameters: templates::parameter_names(it),
    }
}

/// The channel, where a name is not enough.
#[derive(Debug, Deserialize)]
pub struct ChannelQuery {
    channel: Option<String>,
}

/// `GET /templates/named/{name}`
pub async fn template(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<ChannelQuery>,
) -> Answer<TemplateView> {
    let now = admin.clock.now().as_ms();
    let view = read(&admin, move |reader, _| {
        let found = named(reader, query.channel, &name)?;
        Ok(TemplateView { now, languages: found.iter().map(|(account, it)| details(account, it)).collect() })
    });
    Ok(Json(view.await?))
}

fn named(reader: &Reader, channel: Option<String>, name: &str) -> Result<Vec<(String, TemplateDefinition)>, ApiError> {
    let filter =
        TemplateFilter { channel, name: Some(name.to_owned()), limit: usize::MAX, ..TemplateFilter::default() };
    match reader.templates(&filter)? {
        found if found.is_empty() => Err(ApiError::not_found("template", name)),
        found => Ok(found),
    }
}

fn details(account: &str, it: &TemplateDefinition) -> TemplateDetails {
    let warning = |found: templates::Advertising| {
        format!(
            "`{}` in the {} is advertising; WhatsApp may make it a marketing template",
            word(found.word),
            found.part
        )
    };
    let is_utility = it.category == "utility";
    TemplateDetails {
        row: row(account, it),
        text: text(templates::preview(it, &message(&it.name, &it.language, Vec::new()))),
        warnings: templates::lint(it).into_iter().filter(|_| is_utility).map(warning).collect(),
        components: it.components.clone(),
    }
}

/// A word of the table without the sign that it may go on.
fn word(word: &str) -> &str {
    word.trim_end_matches('*')
}

fn text(it: Preview) -> TemplateText {
    let Preview { header, body, footer, buttons, cards } = it;
    TemplateText { header, body, footer, buttons, cards }
}

fn message(name: &str, language: &str, body: Vec<Parameter>) -> Template {
    Template { body, ..Template::new(name, language) }
}

/// `POST /templates/sync`
pub async fn sync_templates(State(admin): State<Arc<Admin>>) -> Answer<Done> {
    let reports = admin.templates.sync().await;
    if reports.is_empty() {
        return Err(ApiError::bad_request("no channel has a `business_account_id`, so no templates can be fetched"));
    }
    let (mut fetched, mut failed) = (Vec::new(), Vec::new());
    for report in reports {
        match report.result {
            Ok(count) => {
                let count = counted(count as u64, "template", "templates");
                fetched.push(format!("{count} of account {} fetched", report.account));
            }
            Err(error) => failed.push(format!("account {}: {error}", report.account)),
        }
    }
    let message = if fetched.is_empty() { "no templates fetched".to_owned() } else { fetched.join(", ") };
    Ok(Json(Done { message, warning: (!failed.is_empty()).then(|| failed.join("; ")) }))
}

/// The length of a list.
#[derive(Debug, Deserialize)]
pub struct LimitQuery {
    limit: Option<usize>,
}

/// `GET /templates/lint`
pub async fn lint(State(admin): State<Arc<Admin>>, Query(query): Query<LimitQuery>) -> Answer<List<LintRow>> {
    let now = admin.clock.now().as_ms();
    let limit = page_size(query.limit);
    let list = read(&admin, move |reader, _| {
        let all = reader.templates(&TemplateFilter { limit: usize::MAX, ..TemplateFilter::default() })?;
        let utility = all.iter().map(|(_, it)| it).filter(|it| it.category == "utility");
        let rows = utility.flat_map(|it| {
            templates::lint(it).into_iter().map(|found| LintRow {
                name: it.name.clone(),
                language: it.language.clone(),
                part: found.part,
                word: word(found.word).to_owned(),
            })
        });
        Ok(List { now, items: rows.take(limit).collect(), next: None })
    });
    Ok(Json(list.await?))
}

/// What fills a template.
#[derive(Debug, Deserialize)]
pub struct FillQuery {
    language: Option<String>,
    /// A JSON array of texts: values, or `name=value`.
    parameters: Option<String>,
    channel: Option<String>,
}

/// The parameters of a text. A template with named variables takes `name=value`.
fn parameters(json: Option<&str>, is_named: bool) -> Result<Vec<Parameter>, ApiError> {
    let texts: Vec<String> = match json {
        Some(json) => serde_json::from_str(json)
            .map_err(|error| ApiError::bad_request(format!("`parameters` must be a JSON array of texts: {error}")))?,
        None => Vec::new(),
    };
    let parameter = |text: String| match text.split_once('=').filter(|_| is_named) {
        Some((name, value)) => Parameter { name: Some(name.into()), value: ParameterValue::Text(value.into()) },
        None => Parameter { name: None, value: ParameterValue::Text(text) },
    };
    Ok(texts.into_iter().map(parameter).collect())
}

/// `GET /templates/named/{name}/preview`
pub async fn preview(
    State(admin): State<Arc<Admin>>,
    Path(name): Path<String>,
    Query(query): Query<FillQuery>,
) -> Answer<TemplatePreview> {
    let now = admin.clock.now().as_ms();
    let view = read(&admin, move |reader, _| {
        let found = named(reader, query.channel, &name)?;
        let definitions: Vec<TemplateDefinition> = found.iter().map(|(_, it)| it.clone()).collect();
        let chosen = match &query.language {
            Some(language) => templates::choose(&definitions, language, None),
            None => definitions.iter().find(|it| it.is_approved()).or(definitions.first()),
        };
        let chosen = chosen.ok_or_else(|| ApiError::not_found("template", &format!("{name} in this language")))?;
        let account = found.iter().find(|(_, it)| it == chosen).map_or("", |(account, _)| account.as_str());
        let body = parameters(query.parameters.as_deref(), chosen.is_named)?;
        let message = message(&name, &chosen.language, body);
        let checked = templates::check_status(chosen).and_then(|()| templates::check_parameters(&message, chosen));
        Ok(TemplatePreview {
            now,
            template: row(account, chosen),
            text: text(templates::preview(chosen, &message)),
            problem: checked.err().map(problem),
        })
    });
    Ok(Json(view.await?))
}

fn problem(refusal: Refusal) -> Problem {
    Problem { code: refusal.code, message: refusal.message }
}

/// A message to explain.
#[derive(Debug, Deserialize)]
pub struct ExplainQuery {
    text: Option<String>,
    template: Option<String>,
    language: Option<String>,
    parameters: Option<String>,
    purpose: Option<String>,
    plugin: Option<String>,
    channel: Option<String>,
}

impl ExplainQuery {
    /// What the message says about its purpose: its category, and the topic of marketing.
    fn stated(&self) -> Result<(Option<String>, Option<String>), ApiError> {
        let Some(purpose) = &self.purpose else { return Ok((None, None)) };
        match purpose.parse() {
            Ok(Purpose::Service) => Ok((Some("utility".into()), None)),
            Ok(Purpose::Marketing) => Ok((Some("marketing".into()), None)),
            Ok(Purpose::MarketingTopic(topic)) => Ok((Some("marketing".into()), Some(topic))),
            _ => Err(ApiError::bad_request("a message is for `service`, `marketing` or `marketing:TOPIC`")),
        }
    }

    /// The plugin that would send it; without one, Beadle.
    fn sender(&self, reader: &Reader) -> Result<PluginNo, ApiError> {
        let Some(name) = &self.plugin else { return Ok(PluginNo::HOST) };
        let found = reader.plugin_names()?.into_iter().find(|(_, known)| known == name);
        found.map(|(no, _)| no).ok_or_else(|| ApiError::not_found("plugin", name))
    }
}

/// `GET /gate/explain/{recipient}`: nothing is sent.
pub async fn explain(
    State(admin): State<Arc<Admin>>,
    Path(recipient): Path<String>,
    Query(query): Query<ExplainQuery>,
) -> Answer<GateView> {
    let (now, gatekeeper) = (admin.clock.now(), admin.gatekeeper.clone());
    let view = read(&admin, move |reader, _| {
        let to = destination(reader, &recipient, query.channel.as_deref())?;
        let mut body = match (&query.text, &query.template) {
            (Some(text), None) => Outgoing::Text { body: text.clone(), preview_url: false, quote: None },
            (None, Some(name)) => {
                let is_named = named(reader, Some(to.channel.to_string()), name)
                    .is_ok_and(|found| found.iter().any(|(_, it)| it.is_named));
                let body = parameters(query.parameters.as_deref(), is_named)?;
                let language = query.language.as_deref().unwrap_or_default();
                let (category, topic) = query.stated()?;
                Outgoing::Template(Box::new(Template { category, topic, ..message(name, language, body) }))
            }
            _ => return Err(ApiError::bad_request("one of `text` and `template` is needed")),
        };
        gatekeeper.choose_language(&mut body, &to)?;
        let draft = Draft { body: &body, host: false, reply: false, message: None };
        // Its length is checked before the gate is asked.
        let by = query.sender(reader)?;
        let decision = gatekeeper.ask(&draft, by, &to, now)?;
        let verdict = match beadle_gate::limits::check(&body) {
            Err(refusal) => GateVerdict::Refused(refusal),
            Ok(()) => decision.verdict,
        };
        let (name, until, refusal) = match verdict {
            GateVerdict::Send => ("send", None, None),
            GateVerdict::Later { until, .. } => ("later", Some(until.as_ms()), None),
            GateVerdict::TemplateNeeded(refusal) => ("template-needed", None, Some(refusal)),
            GateVerdict::Refused(refusal) => ("refused", None, Some(refusal)),
        };
        let candidates = if name == "template-needed" { gatekeeper.candidates(by, &to, now)? } else { Vec::new() };
        let check = |step: beadle_model::TraceStep| GateCheck {
            check: step.check.to_string(),
            outcome: match step.outcome {
                CheckOutcome::Pass => "pass",
                CheckOutcome::Later(_) => "later",
                CheckOutcome::Refused(_) => "refused",
            }
            .into(),
            reason: step.text(),
        };
        Ok(GateView {
            now: now.as_ms(),
            conversation: to.id.to_string(),
            verdict: name.into(),
            until,
            instead: refusal.as_ref().and_then(|refusal| refusal.instead.clone()),
            problem: refusal.map(problem),
            category: gatekeeper.category(&body, &to)?.name().into(),
            language: match &body {
                Outgoing::Template(template) => Some(template.language.clone()),
                _ => None,
            },
            checks: decision.trace.steps.into_iter().map(check).collect(),
            candidates: candidates.into_iter().map(candidate).collect(),
        })
    });
    Ok(Json(view.await?))
}

fn candidate(it: beadle_gatekeeper::Candidate) -> TemplateCandidate {
    TemplateCandidate { name: it.name, language: it.language, category: it.category, parameters: it.parameters }
}

fn destination(reader: &Reader, recipient: &str, channel: Option<&str>) -> Result<ConversationView, ApiError> {
    if recipient.starts_with("cnv_") {
        let id: ConversationId = super::query::id(recipient)?;
        return reader.conversation(id)?.ok_or_else(|| ApiError::not_found("conversation", recipient));
    }
    let id: ContactId = super::query::id(recipient)?;
    let found = reader.conversation_with(id, channel)?;
    found.ok_or_else(|| ApiError::not_found("conversation", &format!("with {recipient}")))
}
