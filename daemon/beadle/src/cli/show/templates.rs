//! Templates.

use super::text::{Lines, Output, Result, Screen, or_dash, print_list, problem, utc};
use crate::api::{LintRow, List, TemplateList, TemplatePreview, TemplateRow, TemplateText, TemplateView};
use crate::cli::table::{Table, when};
use serde_json::{Value, from_value};
use std::fmt::Write as _;

/// `beadle templates list`
pub fn templates(response: Value, screen: Screen) -> Result {
    let list: TemplateList = from_value(response)?;
    let mut table = Table::new(&["TEMPLATE", "LANGUAGE", "CATEGORY", "STATUS", "QUALITY", "CHANGED", "PARAMETERS"])
        .flexible(&["PARAMETERS"]);
    for row in &list.items {
        table.row([
            row.name.clone(),
            row.language.clone(),
            row.category.clone(),
            row.status.clone(),
            or_dash(row.quality.as_deref()),
            when(row.changed_at, list.now),
            parameters(&row.parameters),
        ]);
    }
    let next = list.next.map(|id| format!("--after {id}"));
    let Output { text, mut hints } = print_list(&table, list.items.len(), "No templates.", next, screen);
    for account in &list.accounts {
        let id = &account.account;
        match (&account.error, account.fetched_at) {
            (Some(error), fetched) => {
                let last = fetched.map_or_else(|| "never".into(), |at| format!("last {}", when(at, list.now)));
                hints.push(format!("templates of account {id} not fetched ({last}): {error}"));
            }
            (None, None) => hints.push(format!("templates of account {id} not fetched yet")),
            (None, Some(_)) => {}
        }
    }
    if !list.channels_without_account.is_empty() {
        let channels = list.channels_without_account.join(", ");
        hints.push(format!("set `business_account_id` to know the templates of: {channels}"));
    }
    Ok(Output::new(&text, &hints))
}

/// What has to be filled in, for people: `header image; {{1}}; button 1`. Buttons and cards are
/// counted from 1.
pub(super) fn parameters(names: &[String]) -> String {
    let variable = |name: &str| if name.parse::<u32>().is_ok() { format!("{{{{{name}}}}}") } else { name.to_owned() };
    let position = |text: &str| text.parse::<u32>().map_or_else(|_| text.to_owned(), |index| (index + 1).to_string());
    let readable = |name: &String| match name.split_once(": ") {
        Some(("header", part)) => format!("header {}", variable(part)),
        Some((part, name)) => {
            let index = part.strip_prefix("card ").map(position);
            format!("card {} {}", index.unwrap_or_else(|| part.to_owned()), variable(name))
        }
        None => match name.strip_prefix("button ") {
            Some(index) => format!("button {}", position(index)),
            None => format!("{{{{{name}}}}}"),
        },
    };
    if names.is_empty() { "-".into() } else { names.iter().map(readable).collect::<Vec<_>>().join("; ") }
}

fn lines(row: &TemplateRow) -> Lines {
    Lines(vec![
        ("template", row.name.clone()),
        ("language", row.language.clone()),
        ("account", row.account.clone()),
        ("category", row.category.clone()),
        ("status", row.status.clone()),
        ("reason", or_dash(row.reason.as_deref())),
        ("quality", or_dash(row.quality.as_deref())),
        ("changed", utc(row.changed_at)),
        ("parameters", parameters(&row.parameters)),
    ])
}

/// What the reader sees, indented.
fn format_template(template: &TemplateText) -> String {
    let mut text = String::new();
    for part in template.header.iter().chain([&template.body]).chain(&template.footer) {
        part.lines().for_each(|line| _ = writeln!(text, "  {line}"));
    }
    template.cards.iter().enumerate().for_each(|(index, card)| _ = writeln!(text, "  (card {}) {card}", index + 1));
    template.buttons.iter().for_each(|button| _ = writeln!(text, "  [{button}]"));
    text
}

/// `beadle templates show`
pub fn template(response: Value, _: Screen) -> Result {
    let view: TemplateView = from_value(response)?;
    let (mut text, mut hints) = (String::new(), Vec::new());
    for (index, template) in view.languages.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let _ = write!(text, "{}\n{}", lines(&template.row).print(), format_template(&template.text));
        let warn = |warning: &String| format!("{}: {warning}", template.row.language);
        hints.extend(template.warnings.iter().map(warn));
    }
    Ok(Output::new(&text, &hints))
}

/// `beadle templates lint`
pub fn lint(response: Value, screen: Screen) -> Result {
    let list: List<LintRow> = from_value(response)?;
    let mut table = Table::new(&["TEMPLATE", "LANGUAGE", "PART", "WORD"]);
    for row in &list.items {
        table.row([row.name.clone(), row.language.clone(), row.part.clone(), row.word.clone()]);
    }
    Ok(print_list(&table, list.items.len(), "No advertising words in utility templates.", None, screen))
}

/// `beadle templates preview`
pub fn preview(response: Value, _: Screen) -> Result {
    let view: TemplatePreview = from_value(response)?;
    let row = &view.template;
    let text = format!(
        "{} in {} ({}, {})\n\n{}",
        row.name,
        row.language,
        row.category,
        row.status,
        format_template(&view.text)
    );
    let hints: Vec<String> = view.problem.iter().map(problem).collect();
    Ok(Output::new(&text, &hints))
}
