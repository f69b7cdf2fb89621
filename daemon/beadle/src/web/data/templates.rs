//! Templates.

use super::query::{Answer, ChannelQuery, page_size, read};
use crate::api::{
    AccountState, Done, LintRow, List, Problem, TemplateDetails, TemplateList, TemplatePreview, TemplateRow,
    TemplateText, TemplateView,
};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_gate::templates::{self, Preview};
use beadle_model::outgoing::{Parameter, ParameterValue, Template};
use beadle_model::text::counted;
use beadle_model::{Refusal, TemplateDefinition};
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
        let next =
            found.last().filter(|_| found.len() == limit).map(|(_, last)| format!("{}/{}", last.name, last.language));
        let accounts = reader.accounts()?.into_iter().map(account_state).collect();
        let items = found.iter().map(|(account, definition)| row(account, definition)).collect();
        Ok(TemplateList { now, items, next, accounts, channels_without_account })
    });
    Ok(Json(list.await?))
}

fn account_state(row: AccountRow) -> AccountState {
    AccountState {
        account: row.account,
        channels: row.channels,
        templates: row.templates,
        fetched_at: row.fetched_at.map(|at| at.as_ms()),
        error: row.error.map(|(error, _)| error),
    }
}

fn row(account: &str, definition: &TemplateDefinition) -> TemplateRow {
    TemplateRow {
        name: definition.name.clone(),
        language: definition.language.clone(),
        account: account.to_owned(),
        category: definition.category.clone(),
        status: definition.status.clone(),
        quality: definition.quality.clone(),
        reason: definition.reason.clone(),
        changed_at: definition.changed_at.as_ms(),
        parameters: templates::parameter_names(definition),
    }
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
        Ok(TemplateView {
            now,
            languages: found.iter().map(|(account, definition)| details(account, definition)).collect(),
        })
    });
    Ok(Json(view.await?))
}

/// The templates with this name.
pub(super) fn named(
    reader: &Reader,
    channel: Option<String>,
    name: &str,
) -> Result<Vec<(String, TemplateDefinition)>, ApiError> {
    let filter =
        TemplateFilter { channel, name: Some(name.to_owned()), limit: usize::MAX, ..TemplateFilter::default() };
    match reader.templates(&filter)? {
        found if found.is_empty() => Err(ApiError::not_found("template", name)),
        found => Ok(found),
    }
}

fn details(account: &str, definition: &TemplateDefinition) -> TemplateDetails {
    let warning = |found: templates::Advertising| {
        format!(
            "`{}` in the {} is advertising; WhatsApp may make definition a marketing template",
            word(found.word),
            found.part
        )
    };
    let is_utility = definition.category == "utility";
    TemplateDetails {
        row: row(account, definition),
        text: text(templates::preview(definition, &message(&definition.name, &definition.language, Vec::new()))),
        warnings: templates::lint(definition).into_iter().filter(|_| is_utility).map(warning).collect(),
        components: definition.components.clone(),
    }
}

/// A word of the table without the sign that it may go on.
fn word(word: &str) -> &str {
    word.trim_end_matches('*')
}

fn text(preview: Preview) -> TemplateText {
    let Preview { header, body, footer, buttons, cards } = preview;
    TemplateText { header, body, footer, buttons, cards }
}

/// A message that uses a template.
pub(super) fn message(name: &str, language: &str, body: Vec<Parameter>) -> Template {
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
        let utility =
            all.iter().map(|(_, definition)| definition).filter(|definition| definition.category == "utility");
        let rows = utility.flat_map(|definition| {
            templates::lint(definition).into_iter().map(|found| LintRow {
                name: definition.name.clone(),
                language: definition.language.clone(),
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
pub(super) fn parameters(json: Option<&str>, is_named: bool) -> Result<Vec<Parameter>, ApiError> {
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
    // As the gate falls back.
    let default = admin.gatekeeper.template_language();
    let view = read(&admin, move |reader, _| {
        let found = named(reader, query.channel, &name)?;
        let definitions: Vec<TemplateDefinition> = found.iter().map(|(_, definition)| definition.clone()).collect();
        let chosen = match &query.language {
            Some(language) => templates::choose(&definitions, language, default.as_deref()),
            None => definitions.iter().find(|definition| definition.is_approved()).or(definitions.first()),
        };
        let chosen = chosen.ok_or_else(|| ApiError::not_found("template in this language:", &name))?;
        let account =
            found.iter().find(|(_, definition)| definition == chosen).map_or("", |(account, _)| account.as_str());
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

/// A refusal as an error.
pub(super) fn problem(refusal: Refusal) -> Problem {
    Problem { code: refusal.code, message: refusal.message }
}
