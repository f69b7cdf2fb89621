//! The check at start: whether the CRM has the fields of the map. A missing field disables its
//! entry, and only that.

use crate::host::{HostResult, Lane, Scope};
use crate::names::nearest;
use crate::port::{FieldInfo, Operation};
use crate::session::{Context, Purpose, Session};
use crate::settings::Direction;
use serde::{Deserialize, Serialize};

/// The key of the problems.
const SCHEMA: &str = "schema";

/// A problem of one entry of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The contact's field.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// Whether the entry is not used.
    pub is_disabled: bool,
}

/// Fields whose entries are not used.
pub fn disabled(session: &Session<'_>) -> HostResult<Vec<String>> {
    Ok(problems(session)?.into_iter().filter(|problem| problem.is_disabled).map(|problem| problem.field).collect())
}

/// What the last check found.
pub fn problems(session: &Session<'_>) -> HostResult<Vec<Problem>> {
    Ok(session.load::<Vec<Problem>>(&Scope::Plugin, SCHEMA)?.unwrap_or_default())
}

/// Asks the CRM for its fields.
pub fn ask(session: &mut Session<'_>) -> HostResult {
    let Ok(http) = session.provider.request(&Operation::Schema) else { return Ok(()) };
    let context = Context {
        purpose: Purpose::Schema,
        contact: String::new(),
        sequence: 0,
        operation: Operation::Schema,
        step: 0,
        bases: Vec::new(),
        lane: Lane::Live,
    };
    let key = format!("schema/{}", session.take_numbers(1)?);
    session.send(key, "schema".to_owned(), Lane::Live, http, &context)
}

/// Compares the map with the fields.
pub fn check(session: &mut Session<'_>, fields: Option<&[FieldInfo]>) -> HostResult {
    let problems = fields.map(|fields| find(session, fields)).unwrap_or_default();
    for problem in &problems {
        session.host.log(&format!("map of `{}`: {}", problem.field, problem.message));
    }
    session.save(&Scope::Plugin, SCHEMA, &problems)
}

fn find(session: &Session<'_>, fields: &[FieldInfo]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let known = || fields.iter().map(|field| field.name.as_str());
    for entry in &session.settings.map {
        let mut add = |message: String, is_disabled: bool| {
            problems.push(Problem { field: entry.crm.clone(), message, is_disabled });
        };
        let Some(field) = fields.iter().find(|field| field.name == entry.crm) else {
            let meant = nearest(&entry.crm, known()).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            add(format!("the CRM has no field `{}`{meant}; it is not synchronised", entry.crm), true);
            continue;
        };
        if !field.is_writable && entry.dir != Direction::FromCrm {
            add(format!("the CRM does not let `{}` be written; use `dir = \"from_crm\"`", entry.crm), true);
        }
        let unknown = entry.values.values().filter(|word| !field.options.is_empty() && !field.options.contains(*word));
        for word in unknown {
            let meant = nearest(word, field.options.iter().map(String::as_str));
            let meant = meant.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            add(format!("`{word}` is no value of `{}`{meant}", entry.crm), false);
        }
    }
    for by in &session.settings.match_by {
        let name = session.provider.search_field((*by).into());
        if let Some(name) = name.filter(|name| !known().any(|known| known == name)) {
            let meant = nearest(&name, known()).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
            let message = format!("the CRM has no field `{name}` to search{meant}");
            problems.push(Problem { field: name, message, is_disabled: false });
        }
    }
    problems
}
