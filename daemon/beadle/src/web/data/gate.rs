//! What the gate says about a message.

use super::query::{Answer, read};
use super::templates::{message, named, parameters, problem};
use crate::api::{GateCheck, GateView, TemplateCandidate};
use crate::web::context::Admin;
use crate::web::failure::ApiError;
use axum::Json;
use axum::extract::{Path, Query, State};
use beadle_gate::{Draft, GateVerdict};
use beadle_model::outgoing::Template;
use beadle_model::{CheckOutcome, ContactId, ConversationId, ConversationView, Outgoing, PluginNo, Purpose};
use beadle_store::Reader;
use serde::Deserialize;
use std::sync::Arc;

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
    /// The purpose that the message states.
    fn purpose(&self) -> Result<Option<Purpose>, ApiError> {
        self.purpose.as_ref().map(|purpose| purpose.parse().map_err(ApiError::bad_request)).transpose()
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
    let purpose = query.purpose()?;
    let view = read(&admin, move |reader, _| {
        let to = destination(reader, &recipient, query.channel.as_deref())?;
        let mut body = match (&query.text, &query.template) {
            (Some(text), None) => Outgoing::Text { body: text.clone(), preview_url: false, quote: None },
            (None, Some(name)) => {
                let is_named = named(reader, Some(to.channel.to_string()), name)
                    .is_ok_and(|found| found.iter().any(|(_, definition)| definition.is_named));
                let body = parameters(query.parameters.as_deref(), is_named)?;
                let language = query.language.as_deref().unwrap_or_default();
                // Applies only if the account's templates are not known.
                let category = purpose.as_ref().map(|purpose| match purpose.is_marketing() {
                    true => "marketing".into(),
                    false => "utility".into(),
                });
                Outgoing::Template(Box::new(Template { category, ..message(name, language, body) }))
            }
            _ => return Err(ApiError::bad_request("one of `text` and `template` is needed")),
        };
        gatekeeper.choose_language(&mut body, &to)?;
        let draft = Draft { purpose: purpose.as_ref(), ..Draft::new(&body) };
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

fn candidate(candidate: beadle_gatekeeper::Candidate) -> TemplateCandidate {
    let beadle_gatekeeper::Candidate { name, language, category, parameters } = candidate;
    TemplateCandidate { name, language, category, parameters }
}

fn destination(reader: &Reader, recipient: &str, channel: Option<&str>) -> Result<ConversationView, ApiError> {
    if recipient.starts_with("cnv_") {
        let id: ConversationId = super::query::id(recipient)?;
        return reader.conversation(id)?.ok_or_else(|| ApiError::not_found("conversation", recipient));
    }
    let id: ContactId = super::query::id(recipient)?;
    let found = reader.conversation_with(id, channel)?;
    found.ok_or_else(|| ApiError::not_found("conversation with contact", recipient))
}
